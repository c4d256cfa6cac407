"""Metrics of messages as FastStream counts them, and a gauge of paused subscribers."""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from faststream.message import StreamMessage
from faststream.prometheus import ConsumeAttrs, MetricsSettingsProvider
from faststream.prometheus.middleware import PrometheusMiddleware
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from ._internal import EMPTY
from .message import ReceivedMessage, SQSBatchMessage, body_bytes
from .response import SQSPublishCommand
from .subscriber.usecase import SQSSubscriber

__all__ = ("SQSMetricsSettingsProvider", "SQSPrometheusMiddleware")


class SQSMetricsSettingsProvider(MetricsSettingsProvider[ReceivedMessage, SQSPublishCommand]):
    messaging_system = "aws_sqs"

    @override
    def get_consume_attrs_from_message(self, msg: StreamMessage[ReceivedMessage]) -> ConsumeAttrs:
        count = len(msg.messages) if isinstance(msg, SQSBatchMessage) else 1
        return {"destination_name": msg.raw_message.queue, "message_size": body_bytes(msg), "messages_count": count}

    @override
    def get_publish_destination_name_from_cmd(self, cmd: SQSPublishCommand) -> str:
        return cmd.destination


class SQSPrometheusMiddleware(PrometheusMiddleware[ReceivedMessage, SQSPublishCommand]):
    """FastStream's metrics, and `{prefix}_sqs_subscriber_paused` (1 while paused) by app and queue."""

    def __init__(
        self,
        *,
        registry: CollectorRegistry,
        app_name: str = EMPTY,
        metrics_prefix: str = "faststream",
        received_messages_size_buckets: Sequence[float] | None = None,
        custom_labels: dict[str, str | Callable[[Any], str]] | None = None,
    ) -> None:
        super().__init__(
            settings_provider_factory=lambda _: SQSMetricsSettingsProvider(),
            registry=registry,
            app_name=app_name,
            metrics_prefix=metrics_prefix,
            received_messages_size_buckets=received_messages_size_buckets,
            custom_labels=custom_labels,
        )
        self._app_name = metrics_prefix if app_name is EMPTY else app_name
        self._paused = _paused_in(registry, f"{metrics_prefix}_sqs_subscriber_paused")

    def watch_subscriber(self, subscriber: SQSSubscriber) -> None:
        """Called by each subscriber that starts."""
        self._paused.watch(self._app_name, subscriber)


class _Paused(Collector):
    """Asks the subscribers when it is asked."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._subscribers: dict[tuple[str, str], SQSSubscriber] = {}

    def watch(self, app_name: str, subscriber: SQSSubscriber) -> None:
        self._subscribers[app_name, subscriber.queue_name] = subscriber

    def describe(self) -> list[GaugeMetricFamily]:
        return [self._family()]

    @override
    def collect(self) -> list[GaugeMetricFamily]:
        family = self._family()
        for labels, subscriber in self._subscribers.items():
            family.add_metric(labels, float(subscriber.paused))
        return [family]

    def _family(self) -> GaugeMetricFamily:
        text = "1 while a subscriber receives nothing because a dependency is out"
        return GaugeMetricFamily(self._name, text, labels=["app_name", "queue"])


# Several brokers may share a registry, which takes each metric once and tells nobody what it has.
_registered: WeakKeyDictionary[CollectorRegistry, dict[str, _Paused]] = WeakKeyDictionary()


def _paused_in(registry: CollectorRegistry, name: str) -> _Paused:
    known = _registered.setdefault(registry, {})
    if name not in known:
        known[name] = _Paused(name)
        registry.register(known[name])
    return known[name]
