"""What the gateway offers and the consumers read, as documents for programs."""

from typing import Any

import orjson
from faststream.specification import AsyncAPI
from prometheus_client import CollectorRegistry

from bbws import __version__
from bbws.consumers import CONSUMERS
from bbws.consumers.app import build
from bbws.gateway.openapi import document
from bbws.shared.settings import Settings


def openapi_document(settings: Settings) -> str:
    return _json(document(settings))


def asyncapi_document(settings: Settings) -> str:
    """One document: every consumer's channels and messages."""
    brokers = [build(entry.register, settings, registry=CollectorRegistry()).broker for entry in CONSUMERS.values()]
    specification = AsyncAPI(*brokers, title="BBWS", version=__version__, schema_version="3.0.0").to_specification()
    return _json(specification.to_jsonable())


def _json(document: Any) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
