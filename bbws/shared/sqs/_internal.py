"""Every import of a private FastStream module, so that a change there has one place of repair.

Written against faststream >=0.7.8,<0.8 (0.7.7 lacks some of these names); nothing else of this package imports
`faststream._internal`.
"""

from functools import cache
from typing import Any

from fast_depends.core import CallModel
from faststream._internal._compat import json_loads
from faststream._internal.basic_types import LoggerProto, SendableMessage
from faststream._internal.broker import BrokerUsecase
from faststream._internal.broker.registrator import Registrator
from faststream._internal.broker.router import ArgsContainer, BrokerRouter, SubscriberRoute
from faststream._internal.configs import (
    BrokerConfig,
    PublisherSpecificationConfig,
    PublisherUsecaseConfig,
    SubscriberSpecificationConfig,
    SubscriberUsecaseConfig,
    UnderlyingDriverAnnotation,
    UnderlyingDriverAnnotations,
)
from faststream._internal.constants import EMPTY
from faststream._internal.context import Context
from faststream._internal.context.repository import ContextRepo
from faststream._internal.di import FastDependsConfig
from faststream._internal.endpoint.publisher import PublisherProto, PublisherSpecification, PublisherUsecase
from faststream._internal.endpoint.publisher.fake import FakePublisher
from faststream._internal.endpoint.subscriber import SubscriberSpecification, SubscriberUsecase
from faststream._internal.endpoint.subscriber.call_item import CallsCollection, HandlerItem
from faststream._internal.endpoint.subscriber.utils import default_filter
from faststream._internal.endpoint.utils import ParserComposition, process_msg
from faststream._internal.logger import DefaultLoggerStorage, LoggerState, make_logger_state
from faststream._internal.logger.logging import get_broker_logger
from faststream._internal.middlewares import BaseMiddleware
from faststream._internal.parser import CodecProto, DefaultCodec
from faststream._internal.producer import ProducerProto
from faststream._internal.testing.broker import EnterType, TestBroker
from faststream._internal.types import BrokerMiddleware, CustomCallable, IdGenerator, PublisherMiddleware

__all__ = (
    "EMPTY",
    "ArgsContainer",
    "BaseMiddleware",
    "BrokerConfig",
    "BrokerMiddleware",
    "BrokerRouter",
    "BrokerUsecase",
    "CallModel",
    "CallsCollection",
    "CodecProto",
    "Context",
    "ContextRepo",
    "CustomCallable",
    "DefaultCodec",
    "DefaultLoggerStorage",
    "EnterType",
    "FakePublisher",
    "FastDependsConfig",
    "HandlerItem",
    "IdGenerator",
    "LoggerProto",
    "LoggerState",
    "ParserComposition",
    "ProducerProto",
    "PublisherMiddleware",
    "PublisherProto",
    "PublisherSpecification",
    "PublisherSpecificationConfig",
    "PublisherUsecase",
    "PublisherUsecaseConfig",
    "Registrator",
    "SendableMessage",
    "SubscriberRoute",
    "SubscriberSpecification",
    "SubscriberSpecificationConfig",
    "SubscriberUsecase",
    "SubscriberUsecaseConfig",
    "TestBroker",
    "UnderlyingDriverAnnotation",
    "UnderlyingDriverAnnotations",
    "add_asyncapi_binding",
    "default_filter",
    "get_broker_logger",
    "json_loads",
    "make_logger_state",
    "process_msg",
)


@cache
def add_asyncapi_binding(name: str, binding: type[Any]) -> None:
    """FastStream's documents show the attribute `name` of such bindings of publishers; without this they drop it."""
    from faststream.specification.asyncapi.v2_6_0.schema.bindings import ChannelBinding as Of26
    from faststream.specification.asyncapi.v3_0_0.schema.bindings import ChannelBinding as Of30

    for model in (Of26, Of30):
        _add_binding(model, name, binding)


def _add_binding(model: Any, name: str, binding: type[Any]) -> None:
    known = model.from_pub

    def from_pub(given: Any) -> Any:
        return model(**{name: getattr(given, name)}) if isinstance(given, binding) else known(given)

    model.from_pub = from_pub
