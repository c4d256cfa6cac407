"""What surrounds the broker: AsyncAPI, metrics, traces, logs, annotations, types, the test broker's own extras."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from faststream import Context, FastStream, TestApp
from faststream.exceptions import SetupError
from faststream.security import SASLPlaintext, SASLScram256
from faststream.specification import AsyncAPI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from bbws.shared.sqs import (
    Backoff,
    PauseSubscriber,
    SQSBroker,
    SQSMessage,
    SQSQueue,
    SQSRouter,
    SQSSubscriber,
    TestSQSBroker,
    TopicLink,
)
from bbws.shared.sqs.annotations import SQSBroker as InjectedBroker
from bbws.shared.sqs.opentelemetry import SQSTelemetryMiddleware
from bbws.shared.sqs.prometheus import SQSPrometheusMiddleware
from tests.shared.sqs.worlds import broker_on, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]


class Order(BaseModel):
    id: int


@pytest.mark.parametrize("version", ["2.6.0", "3.0.0"])
def test_the_asyncapi_document_shows_queues_topics_and_payloads(version: Any) -> None:
    """Other teams read what a service consumes and publishes from the document."""
    broker = SQSBroker("http://localhost:4566", description="orders")

    @broker.subscriber(SQSQueue("in", fifo=True), title="Incoming")
    @broker.publisher("out")
    @broker.publisher(topic="news")
    async def handle(order: Order) -> Order:
        """Takes an order."""
        return order

    document = json.loads(AsyncAPI(broker, schema_version=version).to_specification().to_json())
    channels = document["channels"]
    assert len(channels) == 3
    assert {"queue": {"name": "in.fifo", "fifoQueue": True}, "bindingVersion": "0.2.0"} in [
        channel.get("bindings", {}).get("sqs") for channel in channels.values()
    ]
    assert "Order" in document["components"]["schemas"]
    assert next(iter(document["servers"].values()))["protocol"] == "sqs"


async def test_metrics_count_messages_and_show_the_pause(aws: Aws) -> None:
    """An operator sees throughput, and that a subscriber is paused and by which queue."""
    registry = CollectorRegistry()
    # A second broker may share the registry.
    SQSPrometheusMiddleware(registry=registry, app_name="other")
    broker = broker_on(aws, middlewares=[SQSPrometheusMiddleware(registry=registry, app_name="shop")])
    up = False

    async def probe() -> bool:
        return up

    @broker.subscriber("measured", wait_time=0)
    async def handle(order: Order) -> None:
        if not up:
            raise PauseSubscriber(reason="out", probe=probe, delay=0)

    def paused() -> float | None:
        labels = {"app_name": "shop", "queue": "measured"}
        return registry.get_sample_value("faststream_sqs_subscriber_paused", labels)

    async with started(broker):
        assert paused() == 0
        await broker.publish(Order(id=1), "measured")
        await eventually(lambda: paused() == 1, what="the pause shows")
        up = True
        await eventually(lambda: paused() == 0, what="the end of the pause shows")
        labels = {"app_name": "shop", "broker": "aws_sqs", "handler": "measured", "status": "acked"}
        name = "faststream_received_processed_messages_total"
        await eventually(lambda: registry.get_sample_value(name, labels) == 1, what="the message is counted")


@pytest.mark.parametrize("raw", [True, False])
async def test_a_trace_goes_on_behind_a_topic(raw: bool) -> None:
    """Producer and consumer are one trace, with and without SNS's envelope."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    broker = SQSBroker(middlewares=[SQSTelemetryMiddleware(tracer_provider=provider)])

    @broker.subscriber(SQSQueue("traced", topics=[TopicLink("events", raw=raw)]))
    async def handle(order: Order) -> None: ...

    async with TestSQSBroker(broker) as running:
        await running.publish(Order(id=1), topic="events")
    finished = spans.get_finished_spans()
    assert {span.name for span in finished} >= {"events publish", "traced process"}
    assert len({span.context.trace_id for span in finished if span.context}) == 1
    assert {(span.attributes or {}).get("messaging.system") for span in finished} == {"aws_sqs"}


async def test_log_lines_name_queue_and_message(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """One line per message is enough to find it again."""
    logger = logging.getLogger("sqs-lines")
    broker = broker_on(aws, logger=logger)

    @broker.subscriber("logged", wait_time=0)
    async def handle(order: Order) -> None: ...

    caplog.set_level(logging.INFO, logger="sqs-lines")
    async with started(broker):
        message_id = await broker.publish(Order(id=1), "logged")
        lines = [r for r in caplog.records if r.name == "sqs-lines"]
        await eventually(lambda: any(r.getMessage() == "Processed" for r in caplog.records), what="the line")
    lines = [r for r in caplog.records if r.getMessage() == "Received"]
    assert [(vars(r)["queue"], vars(r)["message_id"]) for r in lines] == [("logged", message_id)]


async def test_injection_and_the_application_object() -> None:
    """Handlers get message, broker and client by annotation, inside `FastStream` as elsewhere."""
    broker, got = SQSBroker(), []

    @broker.subscriber("injected")
    async def handle(
        order: Order, message: SQSMessage, own: InjectedBroker, raw: Annotated[Any, Context("message.raw_message")]
    ) -> None:
        got.append((message.body, own is broker, raw["Body"]))

    async with TestSQSBroker(broker), TestApp(FastStream(broker)):
        await broker.publish(Order(id=3), "injected")
    assert got == [(b'{"id":3}', True, '{"id":3}')]


async def test_the_test_broker_shows_what_waits() -> None:
    """A user steps through a retry: publish raises, the message waits, redelivery counts on, publishers are mocked."""
    broker = SQSBroker()
    out = broker.publisher("out")

    @broker.subscriber("in", retry=Backoff.exponential(base=600))
    @out
    async def handle(order: Order, message: SQSMessage) -> str:
        if message.receive_count < 2:
            raise OSError("not yet")
        return "done"

    test_broker = TestSQSBroker(broker, queues=[SQSQueue("in", dead_letter="in-dlq", max_receive_count=2)])
    async with test_broker as running:
        with pytest.raises(OSError, match="not yet"):
            await running.publish(Order(id=1), "in")
        [waiting] = await test_broker.messages("in")
        assert waiting.receive_count == 1
        await test_broker.redeliver("in")
        assert await test_broker.messages("in") == []
        handle.mock.assert_called_with({"id": 1})
        out.mock.assert_called_once_with("done")
    assert not broker.subscribers[0].running


async def test_errors_of_several_queues_come_together() -> None:
    """One failing consumer of a topic must not hide the other, nor keep its copy from it."""
    broker = SQSBroker()

    @broker.subscriber(SQSQueue("a", topics=[TopicLink("t")]))
    async def first(order: Order) -> None:
        raise ValueError("a")

    @broker.subscriber(SQSQueue("b", topics=[TopicLink("t")]))
    async def second(order: Order) -> None:
        raise KeyError("b")

    async with TestSQSBroker(broker) as running:
        with pytest.raises(ExceptionGroup) as caught:
            await running.publish(Order(id=1), topic="t")
    assert {type(error) for error in caught.value.exceptions} == {ValueError, KeyError}


def test_security_and_routers_are_checked() -> None:
    """Credentials map to keys; what cannot work is refused when it is written."""
    broker = SQSBroker(security=SASLPlaintext("key", "secret"))
    assert broker._connection_kwargs["aws_access_key_id"] == "key"
    with pytest.raises(SetupError):
        SQSBroker(security=SASLScram256("a", "b"))
    with pytest.raises(SetupError):
        broker.include_router(object())  # type: ignore[arg-type]
    broker.include_router(SQSRouter("p-"))
    assert isinstance(broker.subscriber("q"), SQSSubscriber)


@pytest.mark.process
def test_a_users_module_passes_mypy_strict(tmp_path: Path) -> None:
    """`py.typed` is a promise: the public names are typed for those who use them."""
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(ROOT / "examples/sqs/basic.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_the_package_needs_nothing_of_bbws() -> None:
    """It can be taken out: relative imports only, and private FastStream modules in one file."""
    for file in (ROOT / "bbws/shared/sqs").rglob("*.py"):
        imports = [line for line in file.read_text().splitlines() if line.lstrip().startswith(("import ", "from "))]
        assert not [line for line in imports if "bbws" in line], file
        assert file.name == "_internal.py" or not [line for line in imports if "faststream._internal" in line], file


async def test_the_test_broker_can_use_the_real_one(aws: Aws) -> None:
    """`with_real=True` keeps the mocks and sends the messages through AWS, for queues and topics."""
    broker = broker_on(aws)
    out, news = broker.publisher("out"), broker.publisher(topic="news")

    @broker.subscriber("in", wait_time=0)
    @out
    @news
    async def handle(order: Order) -> int:
        return order.id

    async with TestSQSBroker(broker, with_real=True) as running:
        await running.publish(Order(id=5), "in")
        await eventually(lambda: out.mock.called and news.mock.called, what="the answers were published", within_s=20)
        handle.mock.assert_called_once_with({"id": 5})
        out.mock.assert_called_once_with(5)
