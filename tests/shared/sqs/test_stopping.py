"""Stopping loses nothing and hides nothing. On AWS over HTTP only, whose clock is the real one."""

import asyncio
import time
from functools import partial

from faststream.exceptions import StopConsume

from bbws.shared.sqs import Backoff, SQSBroker, SQSMessage, SQSQueue
from tests.shared.sqs.worlds import broker_on, counts, messages_in, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

LONG = 600


async def visible(aws: Aws, queue: str) -> int:
    return (await counts(aws, queue))["visible"]


async def test_what_is_cut_off_is_visible_at_once(aws: Aws) -> None:
    """A deploy must not hide its messages for a whole visibility timeout."""
    broker, begun = broker_on(aws, graceful_timeout=0.2), []

    @broker.subscriber(SQSQueue("cut", visibility_timeout=LONG), max_workers=3, wait_time=0)
    async def handle(number: int) -> None:
        begun.append(number)
        await asyncio.sleep(LONG)

    async with started(broker):
        await broker.publish_batch(1, 2, 3, queue="cut")
        await eventually(lambda: len(begun) == 3, what="all handlers run")
        await broker.stop()
        assert await counts(aws, "cut") == {"visible": 3, "held": 0, "delayed": 0}


async def test_a_handler_that_cancels_itself_gives_its_message_back(aws: Aws) -> None:
    """Cancellation settles nothing in FastStream; the message must not wait for its timeout."""
    broker, receives = broker_on(aws), []

    @broker.subscriber(SQSQueue("cancelled", visibility_timeout=LONG), wait_time=0)
    async def handle(message: SQSMessage) -> None:
        receives.append(message.receive_count)
        if message.receive_count == 1:
            raise asyncio.CancelledError

    async with started(broker):
        await broker.publish("x", "cancelled")
        await eventually(lambda: receives == [1, 2], what="the second delivery")


async def test_handlers_get_their_grace_and_their_acknowledgements_arrive(aws: Aws) -> None:
    """What can be finished is finished, and nothing is handled twice after the restart."""
    broker, done = broker_on(aws, graceful_timeout=10), []

    @broker.subscriber(SQSQueue("drained", visibility_timeout=2), max_workers=4, wait_time=1)
    async def handle(number: int) -> None:
        await asyncio.sleep(2.5)
        done.append(number)

    async with started(broker):
        await broker.publish_batch(*range(8), queue="drained")
        await eventually(lambda: held(aws, "drained", 4), what="four are in work")
        await broker.stop()
        assert len(done) == 4
        assert await counts(aws, "drained") == {"visible": 4, "held": 0, "delayed": 0}


async def held(aws: Aws, queue: str, number: int) -> bool:
    return (await counts(aws, queue))["held"] == number


async def test_a_poll_under_way_ends_by_itself_and_its_messages_go_back(aws: Aws) -> None:
    """A cancelled receive takes messages that nobody gets; this one is waited for."""
    broker, handled = broker_on(aws), []

    @broker.subscriber(SQSQueue("polled", visibility_timeout=LONG), wait_time=10)
    async def handle(number: int) -> None:
        handled.append(number)

    async with started(broker):
        await eventually(lambda: aws.calls("sqs", "ReceiveMessage"), what="the poll is under way")
        stopping = asyncio.create_task(broker.stop())
        await asyncio.sleep(0.1)
        async with aws.client("sqs") as sqs:
            url = (await sqs.get_queue_url(QueueName="polled"))["QueueUrl"]
            await sqs.send_message(QueueUrl=url, MessageBody="1")
        await stopping
        assert await visible(aws, "polled") == 1
        assert await aws.calls("sqs", "ReceiveMessage") == 1
        # Once by the poll that was waited for, once by this look at it.
        [message] = await messages_in(aws, "polled")
        assert message.receive_count == 2
    assert not handled


async def test_what_was_received_ahead_is_visible_at_once(aws: Aws) -> None:
    """Work in store that nobody has begun must not be hidden by the process that will never begin it."""
    broker, begun = broker_on(aws, graceful_timeout=0.1), []

    @broker.subscriber(SQSQueue("ahead", visibility_timeout=LONG), max_workers=1, wait_time=0)
    async def handle(number: int) -> None:
        begun.append(number)
        if len(begun) == 3:
            await asyncio.sleep(LONG)

    async def has_store() -> bool:
        return (await counts(aws, "ahead"))["held"] > 1

    async with started(broker):
        await broker.publish_batch(*range(10), queue="ahead")
        await eventually(lambda: len(begun) == 3, what="the third is in work")
        await eventually(has_store, what="more is held")
        await broker.stop()
        assert await counts(aws, "ahead") == {"visible": 8, "held": 0, "delayed": 0}


async def test_draining_loses_nothing(aws: Aws) -> None:
    """Stopped at any moment under load, each message is handled once or still in the queue."""
    done: list[int] = []

    def consumer() -> SQSBroker:
        broker = broker_on(aws, graceful_timeout=5)

        @broker.subscriber(SQSQueue("load", visibility_timeout=LONG), max_workers=10, wait_time=0)
        async def handle(number: int) -> None:
            await asyncio.sleep(0.01)
            done.append(number)

        return broker

    async with started(consumer()) as first:
        await first.publish_batch(*range(100), queue="load")
        await eventually(lambda: len(done) >= 20, what="some are done")
    assert len(done) + await visible(aws, "load") == 100
    async with started(consumer()):
        await eventually(lambda: len(done) >= 100, what="the rest is done")
    assert sorted(done) == list(range(100))


async def test_stop_consume_from_inside_a_handler(aws: Aws) -> None:
    """The handler that stops its own subscriber is not waited for by itself, and its message goes back."""
    broker, receives = broker_on(aws), []

    @broker.subscriber(SQSQueue("halt", visibility_timeout=LONG), attempts=1, max_workers=2, wait_time=0)
    async def handle(message: SQSMessage) -> None:
        receives.append(message.receive_count)
        raise StopConsume

    [subscriber] = broker.subscribers
    async with started(broker):
        await broker.publish("x", "halt")
        await eventually(lambda: visible(aws, "halt"), what="the message is back")
        await eventually(lambda: receives and not subscriber.running, what="the subscriber stopped")
    assert receives == [1]


async def test_two_handlers_that_stop_at_once_do_not_wait_for_each_other(aws: Aws) -> None:
    """Each would be what the other waits for."""
    broker, both = broker_on(aws, graceful_timeout=30), asyncio.Barrier(2)

    @broker.subscriber("halts", max_workers=2, wait_time=0)
    async def handle(number: int) -> None:
        await both.wait()
        raise StopConsume

    async with started(broker):
        await broker.publish_batch(1, 2, queue="halts")
        await eventually(lambda: visible(aws, "halts"), what="they are back")
        before = time.monotonic()
        await broker.stop()
        assert time.monotonic() - before < 5


async def test_stop_before_connect_and_twice(aws: Aws) -> None:
    """Applications stop what never started, and stop again."""
    broker = broker_on(aws)
    broker.subscriber("never")
    await broker.stop()
    await broker.start()
    await broker.stop()
    await broker.stop()
    assert not await broker.ping()


async def test_a_stopped_broker_starts_again(aws: Aws) -> None:
    """Stopping leaves nothing behind that would hinder another start."""
    broker, got = broker_on(aws), []

    @broker.subscriber("again", wait_time=0, retry=Backoff.immediate())
    async def handle(number: int) -> None:
        got.append(number)

    for number in (1, 2):
        async with started(broker):
            await broker.publish(number, "again")
            await eventually(partial(got.count, number), what="it is handled")
    assert got == [1, 2]
