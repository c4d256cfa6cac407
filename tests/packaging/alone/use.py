# mypy: disable-error-code="untyped-decorator"
"""What a user does with the broker, in an environment that has nothing else: run there, without the checkout.

python use.py http://127.0.0.1:4566 — exits with 0 when all of it worked; `AWS_…` give region and credentials.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Literal

from faststream_sqs import (
    Backoff,
    PauseSubscriber,
    SQSBroker,
    SQSMessage,
    SQSQueue,
    TestSQSBroker,
    TopicLink,
    dead_letters,
)
from faststream_sqs.opentelemetry import SQSTelemetryMiddleware
from faststream_sqs.prometheus import SQSPrometheusMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

WITHIN_S = 60


class Order(BaseModel):
    id: int
    quantity: int


async def eventually(is_so: Callable[[], Awaitable[object]], what: str) -> None:
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await is_so():  # noqa: ASYNC110 - what it asks for tells nobody
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


async def on_the_wire(endpoint: str, client: Literal["fast", "botocore"]) -> None:
    """Published, handled, fanned out, answered; what fails is tried again and buried with its reason."""
    spans, registry = InMemorySpanExporter(), CollectorRegistry()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    broker = SQSBroker(
        endpoint,
        client=client,
        declare=True,
        reply_queue=f"{client}-replies",
        logger=None,
        middlewares=[SQSTelemetryMiddleware(tracer_provider=provider), SQSPrometheusMiddleware(registry=registry)],
    )
    orders = SQSQueue(
        f"{client}-orders",
        dead_letter=f"{client}-orders-dlq",
        max_receive_count=5,
        topics=[TopicLink(f"{client}-shop")],
    )
    handled: list[tuple[int, int]] = []

    @broker.subscriber(orders, max_workers=10, attempts=2, wait_time=1, retry=Backoff.immediate())
    async def record(order: Order, message: SQSMessage) -> None:
        handled.append((order.id, message.receive_count))
        if order.quantity < 1:
            raise ValueError("nothing ordered")

    @broker.subscriber(f"{client}-prices", wait_time=1)
    async def price(body: dict[str, str]) -> int:
        return len(body["sku"])

    letters = broker.subscriber(f"{client}-orders-dlq", wait_time=1)
    async with broker:
        await broker.start()
        assert await broker.ping(5)
        await broker.publish(Order(id=1, quantity=1), f"{client}-orders")
        await broker.publish_batch(*(Order(id=n, quantity=1) for n in range(2, 25)), topic=f"{client}-shop")
        await broker.publish(Order(id=25, quantity=0), f"{client}-orders")

        async def all_are_there() -> bool:
            return {order for order, _ in handled} == set(range(1, 26))

        await eventually(all_are_there, "25 orders are handled")
        letter = await letters.get_one(timeout=WITHIN_S)
        assert letter is not None
        assert letter.headers[dead_letters.REASON] == "failed 2 times", letter.headers
        assert letter.headers[dead_letters.EXCEPTION] == "ValueError: nothing ordered", letter.headers
        await letter.ack()
        assert sorted(attempt for order, attempt in handled if order == 25) == [1, 2]
        answer = await broker.request({"sku": "cape"}, f"{client}-prices", timeout=WITHIN_S)
        assert await answer.decode() == 4
    received = registry.get_sample_value(
        "faststream_received_messages_total",
        {"app_name": "faststream", "broker": "aws_sqs", "handler": f"{client}-orders"},
    )
    assert received is not None, "no figure of received messages"
    assert received >= 26, received
    assert {span.name for span in spans.get_finished_spans()} >= {f"{client}-orders process"}, spans


async def in_memory() -> None:
    """The test broker: a pause, a retry, a FIFO group."""
    broker, got = SQSBroker(), list[int]()

    @broker.subscriber(SQSQueue("alone", fifo=True, dead_letter="alone-dlq.fifo", max_receive_count=3))
    async def handle(number: int, message: SQSMessage) -> None:
        if number == 2 and message.receive_count == 1:
            raise PauseSubscriber(reason="not now", probe=nothing_wrong, delay=5)
        got.append(number)

    async def nothing_wrong() -> None: ...

    test_broker = TestSQSBroker(broker, raise_errors=False)
    async with test_broker:
        for number in (1, 2, 3):
            await broker.publish(number, "alone.fifo", group_id="g", deduplication_id=str(number))

        async def all_three() -> bool:
            await test_broker.redeliver()
            return got == [1, 2, 3]

        await eventually(all_three, "three in their order")


async def main(endpoint: str) -> None:
    await in_memory()
    for client in ("fast", "botocore"):
        await on_the_wire(endpoint, client)
    strangers = sorted(name for name in sys.modules if name.split(".")[0] == "bbws")
    assert not strangers, strangers
    names = ("faststream-sqs", "faststream", "aiobotocore", "aiohttp", "orjson", "pydantic")
    print("used", ", ".join(f"{name} {version(name)}" for name in names), f"on Python {sys.version.split()[0]}")


asyncio.run(main(sys.argv[1]))
