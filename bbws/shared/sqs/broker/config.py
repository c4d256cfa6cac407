"""State that broker, routers, subscribers and publishers share."""

from dataclasses import dataclass, field
from types import MappingProxyType

from faststream.exceptions import IncorrectState

from .._internal import BrokerConfig, UnderlyingDriverAnnotation, UnderlyingDriverAnnotations
from ..client import Client
from ..message import SQSBatchMessage, SQSMessage
from ..payloads import Payloads
from ..producer import SQSProducer
from ..resolver import Resolver


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
    _client: Client | None = field(default=None, init=False, repr=False)
    _resolver: Resolver | None = field(default=None, init=False, repr=False)
    _payloads: Payloads | None = field(default=None, init=False, repr=False)

    @property
    def client(self) -> Client:
        """The connected client; IncorrectState before `connect`."""
        if self._client is None:
            raise IncorrectState("connect or start the broker first")
        return self._client

    @property
    def resolver(self) -> Resolver:
        """Looks up URLs and ARNs; IncorrectState before `connect`."""
        if self._resolver is None:
            raise IncorrectState("connect or start the broker first")
        return self._resolver

    @property
    def payloads(self) -> Payloads | None:
        """Bodies in S3, where a bucket is configured."""
        return self._payloads

    def connect(self, client: Client, payloads: Payloads | None = None) -> None:
        """Subscribers and publishers use this client from now on."""
        self._client = client
        self._payloads = payloads
        self._resolver = Resolver(client)
        serializer = self.fd_config._serializer  # noqa: SLF001
        self.producer.connect(client, self._resolver, serializer, self.broker_codec, payloads)

    def disconnect(self) -> None:
        """Nothing can be received or published any more."""
        self._client = self._resolver = None
        self.producer.disconnect()
