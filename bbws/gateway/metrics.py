"""What the gateway counts; every metric is declared here, once, with its unit."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest

_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One set per application, in a registry of its own, so that two applications in a process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "bbws_gateway_requests",
            "Requests answered, by operation and status.",
            ["operation", "status"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "bbws_gateway_request_duration",
            "From the request's head to the answer's end; event streams are not counted.",
            ["operation"],
            unit="seconds",
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "bbws_gateway_requests_in_flight", "Requests being answered now, streams included.", registry=self.registry
        )
        # Looked up once: there are as many as operations and statuses.
        self._requests_of = cache(self.requests.labels)
        self._duration_of = cache(self.duration.labels)
        self.open_streams = Gauge("bbws_gateway_open_streams", "Event streams open now.", registry=self.registry)

    def ended(self, operation: str, status: int, duration_s: float | None) -> None:
        """A request was answered; without a duration where that says nothing, as of an event stream."""
        self._requests_of(operation, str(status)).inc()
        if duration_s is not None:
            self._duration_of(operation).observe(duration_s)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
