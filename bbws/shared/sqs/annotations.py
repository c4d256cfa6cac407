"""Annotations that inject what a handler asks for."""

from typing import Annotated

from faststream.annotations import ContextRepo, Logger
from faststream.params import NoCast

from . import message
from ._internal import Context
from .broker import broker
from .client import Client as _Client

__all__ = ("Client", "ContextRepo", "Logger", "NoCast", "SQSBatchMessage", "SQSBroker", "SQSMessage")

Client = Annotated[_Client, Context("broker._connection")]
SQSBatchMessage = Annotated[message.SQSBatchMessage, Context("message")]
SQSMessage = Annotated[message.SQSMessage, Context("message")]
SQSBroker = Annotated[broker.SQSBroker, Context("broker")]
