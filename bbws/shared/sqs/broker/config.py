"""State that broker, routers, subscribers and publishers share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from faststream.exceptions import IncorrectState

from .._internal import BrokerConfig, UnderlyingDriverAnnotation, UnderlyingDriverAnnotations
from ..client import Client
from ..message import SQSBatchMessage, SQSMessage
from ..payloads import Payloads
from ..producer import SQSProducer
from ..resolver import Resolver
from ..schemas import SNSTopic, SQSQueue


def _driver_annotations() -> UnderlyingDriverAnnotations:
    """Tells FastStream which annotation injects a class that somebody hints directly."""
    # annotations needs the broker, which needs this module.
    from .. import annotations

    module = annotations.__name__
    rows = {
        SQSMessage: (annotations.SQSMessage, "SQSMessage"),
        SQSBatchMessage: (annotations.SQSBatchMessage, "SQSBatchMessage"),
    }
    return MappingProxyType(
        {
            driver: UnderlyingDriverAnnotation(type_hint=hint, module=module, name=name)
            for driver, (hint, name) in rows.items()
        }
    )


@dataclass(kw_only=True)
class SQSBrokerConfig(BrokerConfig):
    producer: SQSProducer = field(default_factory=lambda: SQSProducer(parser=None, decoder=None))
    default_driver_annotations: UnderlyingDriverAnnotations = field(default_factory=_driver_annotations)
    _connected: "Connected | None" = field(default=None, init=False, repr=False)

    @property
    def connected(self) -> "Connected":
        """What there is between `connect` and `disconnect`; IncorrectState before and after."""
        if self._connected is None:
            raise IncorrectState("connect or start the broker first")
        return self._connected

    @property
    def client(self) -> Client:
        """The connected client."""
        return self.connected.client

    @property
    def resolver(self) -> Resolver:
        """Looks up URLs and ARNs."""
        return self.connected.resolver

    @property
    def payloads(self) -> Payloads | None:
        """Bodies in S3, where a bucket is configured."""
        return self._connected.payloads if self._connected else None

    @property
    def polls(self) -> bool:
        """Whether subscribers receive by themselves; the test broker delivers to them."""
        return self.connected.polls

    def connect(
        self,
        client: Client,
        payloads: Payloads | None = None,
        *,
        declarer: "Declarer | None" = None,
        polls: bool = True,
    ) -> None:
        """Subscribers and publishers use this client from now on."""
        self._connected = connected = Connected(client, Resolver(client), payloads, declarer, polls)
        serializer = self.fd_config._serializer  # noqa: SLF001
        self.producer.connect(client, connected.resolver, serializer, self.broker_codec, payloads)

    def disconnect(self) -> None:
        """Nothing can be received or published any more."""
        self._connected = None
        self.producer.disconnect()

    @property
    def declarer(self) -> "Declarer | None":
        """Makes queues and topics, while connected to where that can be done."""
        return self._connected.declarer if self._connected else None

    async def declare(self, *destinations: tuple[SQSQueue | SNSTopic, str]) -> None:
        """What is not there yet of these, each with its prefix, is made where it is to be made."""
        if declarer := self.declarer:
            await declarer.declare(destinations)

    @contextmanager
    def replaced(self, producer: SQSProducer) -> Iterator[None]:
        """Another producer, and whatever is connected meanwhile; afterwards as before."""
        before = self.producer, self._connected
        self.producer, self._connected = producer, None
        try:
            yield
        finally:
            self.disconnect()
            self.producer, self._connected = before


@dataclass(frozen=True)
class Connected:
    """What a broker has while it is connected."""

    client: Client
    resolver: Resolver
    payloads: Payloads | None
    declarer: "Declarer | None"
    polls: bool


class Declarer(Protocol):
    """Makes queues and topics."""

    async def declare(self, destinations: Sequence[tuple[SQSQueue | SNSTopic, str]]) -> None: ...
