"""The clock of the test broker: retries, delays and dead letters in milliseconds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from faststream import AckPolicy

from bbws.shared.sqs import Backoff, SNSTopic, SQSBroker, SQSMessage, SQSQueue, TestSQSBroker, TopicLink
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.outgoing import Outgoing

RETRY = Backoff.exponential(base=10, cap=100, jitter=False)


async def test_a_retry_comes_when_its_back_off_ends() -> None:
    """A user tests the whole story of a poison message without waiting for it."""
    broker, tries = SQSBroker(), []
    queue = SQSQueue("orders", dead_letter="orders-dlq", max_receive_count=4)

    @broker.subscriber(queue, retry=RETRY)
    async def handle(number: int, message: SQSMessage) -> None:
        tries.append(test_broker.now - begin)
        raise ValueError("never")

    test_broker = TestSQSBroker(broker, raise_errors=False)
    async with test_broker:
        begin = test_broker.now
        await broker.publish(1, "orders")
        await test_broker.advance(9.9)
        assert len(tries) == 1
        await test_broker.advance(3600)
        assert test_broker.now == pytest.approx(begin + timedelta(seconds=3609.9), abs=timedelta(seconds=1))
        [letter] = await test_broker.messages("orders-dlq")
    assert [round(after.total_seconds()) for after in tries] == [0, 10, 30, 70]
    assert letter.headers["dead-letter-reason"] == "failed 4 times"
    assert [str(error) for error in test_broker.errors] == ["never"] * 4


async def test_errors_come_out_of_advance() -> None:
    """Unless told otherwise a test fails when a handler does."""
    broker = SQSBroker()

    @broker.subscriber("orders", retry=RETRY)
    async def handle(number: int) -> None:
        raise ValueError("never")

    test_broker = TestSQSBroker(broker)
    async with test_broker:
        with pytest.raises(ValueError, match="never"):
            await broker.publish(1, "orders")
        with pytest.raises(ValueError, match="never"):
            await test_broker.advance(10)
        with pytest.raises(ExceptionGroup):
            await test_broker.advance(100)
        await test_broker.advance(1)


async def test_delays_of_messages_and_queues_pass() -> None:
    """A reminder in ten minutes is tested in none; a timer of the message wins over that of the queue."""
    broker, got = SQSBroker(), []

    @broker.subscriber(SQSQueue("later", delay=60))
    async def handle(number: int) -> None:
        got.append(number)

    test_broker = TestSQSBroker(broker)
    async with test_broker:
        await broker.publish(1, "later")
        await broker.publish(2, "later", delay=600)
        await broker.publish(3, "later", delay=0)
        assert got == [3]
        await test_broker.advance(59)
        assert got == [3]
        await test_broker.advance(1)
        assert got == [3, 1]
        await test_broker.advance(540)
    assert got == [3, 1, 2]


async def test_what_nobody_settles_comes_after_its_visibility_timeout() -> None:
    """As after a crash; and SQS moves by itself what came too often, without a reason."""
    broker, counts = SQSBroker(), []
    queue = SQSQueue("manual", visibility_timeout=40, dead_letter="manual-dlq", max_receive_count=2)

    @broker.subscriber(queue, ack_policy=AckPolicy.MANUAL)
    async def handle(message: SQSMessage) -> None:
        counts.append(message.receive_count)

    test_broker = TestSQSBroker(broker)
    async with test_broker:
        await broker.publish("x", "manual")
        await test_broker.advance(39)
        assert counts == [1]
        await test_broker.advance(1)
        assert counts == [1, 2]
        await test_broker.advance(40)
        [letter] = await test_broker.messages("manual-dlq")
    assert counts == [1, 2]
    assert "dead-letter-reason" not in letter.headers


async def test_a_failure_holds_back_its_group_only() -> None:
    """Order of FIFO groups holds through back-offs."""
    broker, got = SQSBroker(), []
    queue = SQSQueue("lane", fifo=True, content_based_deduplication=True)

    @broker.subscriber(queue, retry=RETRY)
    async def handle(text: str, message: SQSMessage) -> None:
        got.append(text)
        if text == "a1" and message.receive_count == 1:
            raise ValueError("not yet")

    test_broker = TestSQSBroker(broker, raise_errors=False)
    async with test_broker:
        for text in ("a1", "a2", "b1", "b1"):
            await broker.publish(text, "lane.fifo", group_id=text[0])
        assert got == ["a1", "b1"]
        await test_broker.advance(10)
        assert got == ["a1", "b1", "a1", "a2"]
        await broker.publish("a2", "lane.fifo", group_id="a")
        assert len(got) == 4
        await test_broker.advance(300)
        await broker.publish("a2", "lane.fifo", group_id="a")
    assert got[4:] == ["a2"]


async def test_a_receipt_is_good_until_the_message_comes_again() -> None:
    """As in SQS: who was too slow neither hides nor returns what others have, and when it first came is kept."""
    now = 1000.0
    service = MemoryService(lambda: now)
    url = await service.queue_url("q", None)
    await service.send(url, Outgoing("x"))

    async def receive() -> dict[str, Any]:
        [message] = await service.receive(url, max_messages=10, wait_s=0, visibility_timeout_s=30)
        return message

    first = await receive()
    now += 30
    [failure] = await service.change_visibility_batch(url, [(first["ReceiptHandle"], 0)])
    assert failure.sender_fault
    second = await receive()
    [failure] = await service.change_visibility_batch(url, [(first["ReceiptHandle"], 0)])
    assert (failure.index, failure.code) == (0, "ReceiptHandleIsInvalid")
    assert not await service.change_visibility_batch(url, [(second["ReceiptHandle"], 0)])
    now += 1
    seen = "ApproximateFirstReceiveTimestamp"
    assert (await receive())["Attributes"][seen] == first["Attributes"][seen] == "1000000"


async def test_what_sqs_refuses_of_fifo_messages_is_refused() -> None:
    """A missing group or id must not wait for AWS to show."""
    broker = SQSBroker()
    async with TestSQSBroker(broker):
        refused: list[dict[str, Any]] = [{}, {"group_id": "g"}, {"group_id": "g", "deduplication_id": "d", "delay": 5}]
        for options in refused:
            with pytest.raises(ClientError):
                await broker.publish("x", "strict.fifo", **options)
        await broker.publish("x", "strict.fifo", group_id="g", deduplication_id="d")


async def test_delays_hold_behind_topics_and_filters() -> None:
    """What a filter lets pass waits in the queue behind it."""
    broker, got = SQSBroker(), []
    link = TopicLink(SNSTopic("events"), filter_policy={"kind": ["paid"]})

    @broker.subscriber(SQSQueue("heard", topics=[link], delay=30))
    async def handle(number: int, message: SQSMessage) -> None:
        got.append((number, message.sent_at))

    test_broker = TestSQSBroker(broker)
    async with test_broker:
        sent = test_broker.now
        await broker.publish(1, topic="events", headers={"kind": "paid"})
        await broker.publish(2, topic="events", headers={"kind": "made"})
        await test_broker.advance(60)
    [(number, sent_at)] = got
    assert number == 1
    assert sent_at is not None
    assert abs(sent_at - sent) < timedelta(seconds=1)
    assert sent <= datetime.now(UTC) + timedelta(minutes=2)
