"""Headers keep their types: text, numbers, bytes, on every way a message takes."""

from typing import Any

import pytest
from faststream.exceptions import RejectMessage

from bbws.shared.sqs import Backoff, SQSMessage, SQSQueue, TopicLink
from tests.shared.sqs.test_behaviour import recording
from tests.shared.sqs.worlds import Memory, World

FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate()}


@pytest.mark.both_clients
async def test_numbers_and_bytes_arrive_as_what_they_are(world: World) -> None:
    """In the first ten, where filters see them, and among those that are packed; through SNS as well."""
    typed = {"price": 19.9, "count": -3, "large": 10**20, "mark": b"\x00\xff", "none": None, "paid": True}
    headers = typed | {f"h{i}": "x" for i in range(6)} | {"weight": 2.5, "key": b"\x01", "total": 7}
    broker = world.broker()
    seen = recording(broker, SQSQueue("typed", topics=[TopicLink("raw"), TopicLink("wrapped", raw=False)]))
    async with world.running(broker):
        await broker.publish("x", "typed", headers=headers)
        await broker.publish("x", topic="raw", headers=headers)
        # The emulator's envelopes leave the value of a Binary attribute out; AWS's, and ours in memory, do not.
        wrapped = headers if isinstance(world, Memory) else headers | {"mark": "text"}
        await broker.publish("x", topic="wrapped", headers=wrapped)
        await world.until(lambda: len(seen) == 3, "all arrived")
    for message in seen:
        sent = headers if message.topic_arn is None else wrapped
        assert (sent | {"paid": "true", "none": None}).items() <= (message.headers | {"none": None}).items()
        assert "none" not in message.headers
        assert all(type(message.headers[name]) is type(headers[name]) for name in ("price", "count", "total"))


@pytest.mark.both_clients
async def test_numeric_filters_see_numeric_headers(world: World) -> None:
    """A number is an attribute of type Number: subscriptions compare it as one, not as text."""
    broker = world.broker()
    link = TopicLink("prices", filter_policy={"price": [{"numeric": [">=", 9, "<", 100]}]})
    dear = recording(broker, SQSQueue("dear", topics=[link]))
    async with world.running(broker):
        for price in (8, 10, 99.5, 100):
            await broker.publish(price, topic="prices", headers={"price": price})
        await world.until(lambda: len(dear) == 2, "those of the right price arrived")
    assert sorted(dear.bodies) == [b"10", b"99.5"]
    assert sorted(message.headers["price"] for message in dear) == [10, 99.5]


@pytest.mark.both_clients
async def test_a_dead_letter_keeps_them(world: World) -> None:
    """What an operator sends back is what was sent, however many headers there were."""
    typed = {"price": 19.9, "mark": b"\x00\xff", "paid": True}
    headers = typed | {f"h{i}": f"{i}" for i in range(8)} | {"weight": 2.5, "key": b"\x01", "total": 7}
    broker = world.broker()

    @broker.subscriber(SQSQueue("typed", dead_letter="typed-dlq"), **FAST)
    async def handle(message: SQSMessage) -> None:
        raise RejectMessage(reason="no")

    async with world.running(broker):
        await broker.publish("x", "typed", headers=headers)
        await world.until(lambda: world.depth("typed-dlq"), "the dead letter")
        [letter] = await world.messages("typed-dlq")
    assert (headers | {"paid": "true"}).items() <= letter.headers.items()
    assert letter.headers["dead-letter-reason"] == "no"
