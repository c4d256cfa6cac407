"""Handlers that get a list of messages."""

import asyncio
import json
from typing import Any

import pytest
from faststream.exceptions import RejectMessage
from faststream.specification import AsyncAPI
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from bbws.shared.sqs import Backoff, SQSBatchMessage, SQSBroker, SQSQueue, TestSQSBroker
from bbws.shared.sqs.annotations import SQSBatchMessage as Batch
from bbws.shared.sqs.inbox import Settled
from bbws.shared.sqs.message import ReceivedMessage
from bbws.shared.sqs.prometheus import SQSPrometheusMiddleware
from bbws.shared.sqs.subscriber.groups import split
from tests.shared.sqs.worlds import World, broker_on, counts, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate(), "batch": True}
QUEUE = SQSQueue("orders", dead_letter="orders-dlq", max_receive_count=3)


class Order(BaseModel):
    id: int


async def test_a_handler_gets_a_list_of_validated_bodies(world: World) -> None:
    """One call for up to ten messages, each validated; the message object has the headers of each."""
    broker, calls = world.broker(), []

    @broker.subscriber("orders", **FAST)
    async def handle(orders: list[Order], batch: Batch) -> None:
        calls.append(([order.id for order in orders], [message.headers["of"] for message in batch.messages]))

    async with world.running(broker):
        await broker.publish_batch(*(Order(id=i) for i in range(10)), queue="orders", headers={"of": "x"})
        await world.until(lambda: sum(len(ids) for ids, _ in calls) == 10, "all arrived")
        await world.emptied("orders")
    assert sorted(i for ids, _ in calls for i in ids) == list(range(10))
    assert all(headers == ["x"] * len(ids) for ids, headers in calls)
    assert len(calls) <= 3


async def test_what_failed_in_company_is_tried_alone(world: World) -> None:
    """One bad message must not bury its company: the second attempt of each is its own."""
    broker, calls = world.broker(), []

    @broker.subscriber(QUEUE, **FAST)
    async def handle(orders: list[Order]) -> None:
        ids = [order.id for order in orders]
        calls.append(ids)
        if 3 in ids:
            raise ValueError("three never works")

    async with world.running(broker):
        await world.publish(broker.publish_batch(*(Order(id=i) for i in range(6)), queue="orders"))
        await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
        await world.emptied("orders")
        letters = await world.messages("orders-dlq")
    assert [json.loads(letter.body)["id"] for letter in letters] == [3]
    assert letters[0].headers["dead-letter-reason"] == "failed 3 times"
    assert [3] in calls


async def test_single_messages_of_a_batch_can_fail(world: World) -> None:
    """The handler says which; the others are deleted and do not come again."""
    broker, seen = world.broker(), []

    @broker.subscriber(QUEUE, **FAST)
    async def handle(numbers: list[int], batch: Batch) -> None:
        for number, message in zip(numbers, batch.messages, strict=True):
            seen.append((number, message.receive_count))
            if number == 1 and message.receive_count == 1:
                await message.nack()
            if number == 2:
                await message.reject("never two")

    async with world.running(broker):
        await broker.publish_batch(0, 1, 2, 3, queue="orders")
        await world.until(lambda: (1, 2) in seen, "the second attempt")
        await world.emptied("orders")
        [letter] = await world.messages("orders-dlq")
    assert sorted(seen) == [(0, 1), (1, 1), (1, 2), (2, 1), (3, 1)]
    assert (letter.body, letter.headers["dead-letter-reason"]) == (b"2", "never two")


async def test_a_rejected_batch_is_buried_whole(world: World) -> None:
    """`raise RejectMessage` means all of them."""
    broker = world.broker()

    @broker.subscriber(QUEUE, **FAST)
    async def handle(numbers: list[int]) -> None:
        raise RejectMessage(reason="closed")

    async with world.running(broker):
        await broker.publish_batch(0, 1, 2, queue="orders")

        async def buried() -> bool:
            return await world.depth("orders-dlq") == 3

        await world.until(buried, "three dead letters")
        await world.emptied("orders")


async def test_a_batch_that_cannot_be_read_ends_in_the_dead_letters(world: World) -> None:
    """Not even parsed, each message still counts its attempts; those that can be read are handled."""
    broker = world.broker()
    seen: list[int] = []

    @broker.subscriber(QUEUE, **FAST)
    async def handle(orders: list[Order]) -> None:
        seen.extend(order.id for order in orders)

    async with world.running(broker):
        await world.publish(broker.publish_batch(Order(id=1), "{no json", Order(id=2), queue="orders"))
        await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
        await world.emptied("orders")
        [letter] = await world.messages("orders-dlq")
    assert letter.body == b"{no json"
    assert sorted(seen) == [1, 2]


@pytest.mark.parametrize(
    ("is_ordered", "batches"),
    [(True, [["a1"], ["b1", "b2"], ["a2!"], ["a3", "a4"]]), (False, [["a1", "b1", "b2", "a3", "a4"], ["a2!"]])],
)
def test_what_stands_behind_a_failed_message_is_a_batch_behind_it(is_ordered: bool, batches: list[list[str]]) -> None:
    """In a batch in front of it, it would overtake; without groups there is nothing to overtake."""

    def message(text: str) -> ReceivedMessage:
        raw = {"Body": text, "Attributes": {"MessageGroupId": text[0]}}
        return ReceivedMessage(raw, queue="q", settler=Settled(), received_at=0)

    received = [message(text) for text in ("a1", "b1", "a2!", "b2", "a3", "a4")]
    given = split(received, is_ordered=is_ordered, failures=lambda raw: raw["Body"].endswith("!"))
    assert [[raw["Body"] for raw in batch] for batch in given] == batches


async def test_workers_are_batches(aws: Aws) -> None:
    """`max_workers` counts calls of the handler: twenty messages are two calls, in work at the same time."""
    broker, sizes, both = broker_on(aws), [], asyncio.Barrier(2)
    async with started(broker_on(aws)) as other:
        other.publisher("wide")
        await other.start()
        await other.publish_batch(*range(20), queue="wide")

    @broker.subscriber("wide", batch=True, max_workers=2, wait_time=1)
    async def handle(numbers: list[int]) -> None:
        sizes.append(len(numbers))
        await both.wait()

    async def is_empty() -> bool:
        return not any((await counts(aws, "wide")).values())

    async with started(broker):
        await eventually(is_empty, what="the queue is empty")
        assert await aws.calls("sqs", "DeleteMessageBatch") == 2
    assert sizes == [10, 10]


async def test_a_custom_decoder_sees_the_batch() -> None:
    """Parsers and decoders of users wrap those for batches as they wrap those for messages."""
    broker, got = SQSBroker(), []

    async def doubled(message: SQSBatchMessage, original: Any) -> Any:
        return [2 * number for number in await original(message)]

    @broker.subscriber("decoded", batch=True, decoder=doubled)
    async def handle(numbers: list[int]) -> None:
        got.extend(numbers)

    async with TestSQSBroker(broker):
        await broker.publish_batch(1, 2, queue="decoded")
    assert got == [2, 4]


async def test_metrics_count_the_messages_of_a_batch() -> None:
    """Throughput is messages, not calls; sizes are bytes."""
    registry = CollectorRegistry()
    broker = SQSBroker(middlewares=[SQSPrometheusMiddleware(registry=registry, app_name="shop")])

    @broker.subscriber("measured", batch=True)
    async def handle(texts: list[str]) -> None: ...

    async with TestSQSBroker(broker):
        await broker.publish_batch("four", "five!", queue="measured")
    labels = {"app_name": "shop", "broker": "aws_sqs", "handler": "measured"}
    assert registry.get_sample_value("faststream_received_messages_total", labels) == 2
    assert registry.get_sample_value("faststream_received_messages_size_bytes_sum", labels) == 9


@pytest.mark.parametrize("version", ["2.6.0", "3.0.0"])
def test_the_document_shows_a_list(version: Any) -> None:
    """Readers see that the handler takes many."""
    broker = SQSBroker()

    @broker.subscriber("many", batch=True)
    async def handle(orders: list[Order]) -> None: ...

    document = json.loads(AsyncAPI(broker, schema_version=version).to_specification().to_json())
    payload = document["components"]["schemas"]["Handle:Message:Payload"]
    assert (payload["type"], payload["items"]) == ("array", {"$ref": "#/components/schemas/Order"})
