"""`request()`: a message and its answer."""

import asyncio
import time

import pytest
from faststream.exceptions import IncorrectState, SetupError

from bbws.shared.sqs import SQSBroker, SQSQueue, SQSResponse
from tests.shared.sqs.worlds import World, broker_on, counts, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

REPLIES = SQSQueue("replies")


async def test_the_answer_is_the_handlers(world: World) -> None:
    """Body, headers and correlation id come back, by a broker and by a publisher; nothing stays in the queues."""
    broker = world.broker(reply_queue=REPLIES)

    @broker.subscriber("double", wait_time=1)
    async def double(number: int) -> SQSResponse:
        return SQSResponse(2 * number, headers={"by": "double"})

    publisher = broker.publisher("double")
    async with world.running(broker):
        answer = await broker.request(21, "double", correlation_id="c-1")
        assert (await answer.decode(), answer.headers["by"], answer.correlation_id) == (42, "double", "c-1")
        assert await (await publisher.request(4)).decode() == 8
        await world.emptied("double")
        await world.emptied("replies")


async def test_each_gets_its_own_answer(aws: Aws) -> None:
    """Answers come in any order, and to two processes by one queue: the correlation id decides."""
    first, second, server = broker_on(aws, reply_queue=REPLIES), broker_on(aws, reply_queue=REPLIES), broker_on(aws)

    @server.subscriber("echo", max_workers=20, wait_time=1)
    async def echo(number: int) -> int:
        await asyncio.sleep(0.3 / (number + 1))
        return number

    async with started(server), started(first), started(second):
        asked = [(first, second)[i % 2].request(i, "echo", timeout=20) for i in range(12)]
        answers = [await answer.decode() for answer in await asyncio.gather(*asked)]
    assert answers == list(range(12))


async def test_no_answer_is_a_timeout(world: World) -> None:
    """A failed handler answers nothing; who asked must not wait for ever."""
    broker = world.broker(reply_queue="replies")

    @broker.subscriber("silent", no_reply=True, wait_time=1)
    async def silent(number: int) -> int:
        return number

    async with world.running(broker):
        with pytest.raises(TimeoutError):
            await broker.request(1, "silent", timeout=0.5)


async def test_the_reply_queue_is_polled_only_while_somebody_waits(aws: Aws) -> None:
    """A service that asks once a day pays for one poll."""
    broker = broker_on(aws, reply_queue=REPLIES)

    @broker.subscriber("echo", wait_time=3)
    async def echo(number: int) -> int:
        return number

    async with started(broker_on(aws, reply_queue=REPLIES)) as other:
        assert await aws.calls("sqs", "ReceiveMessage") == 0
        async with started(broker):
            assert await (await other.request(1, "echo")).decode() == 1
            polls = await aws.calls("sqs", "ReceiveMessage")
            # One of ours for the answer, and two of the subscriber: the request, and the next long poll.
            assert polls <= 4


async def test_a_stop_ends_the_waiting(aws: Aws) -> None:
    """Shutdown must not wait for an answer that may never come."""
    broker = broker_on(aws, reply_queue=REPLIES)
    async with started(broker):
        broker.publisher("nobody")
        await broker.start()
        asking = asyncio.create_task(broker.request(1, "nobody", timeout=60))
        await eventually(lambda: aws.calls("sqs", "ReceiveMessage"), what="it waits")
        began = time.monotonic()
        await broker.stop()
        assert time.monotonic() - began < 5
        with pytest.raises(IncorrectState):
            await asking


async def test_an_answer_that_nobody_wants_is_thrown_away(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that came too late must not fill the queue for ever."""
    monkeypatch.setattr("bbws.shared.sqs.inbox._STRANGER_RECEIVES", 2)
    monkeypatch.setattr("bbws.shared.sqs.inbox._STRANGER_AWAY_S", 0)

    async def gone() -> bool:
        return not any((await counts(aws, "replies")).values())

    async with started(broker_on(aws, reply_queue=REPLIES)) as broker:
        broker.publisher("void")
        await broker.start()
        await broker.publish("late", "replies", correlation_id="long ago")
        asking = asyncio.create_task(broker.request(1, "void", timeout=5))
        await eventually(gone, what="it is thrown away")
        asking.cancel()


async def test_without_a_reply_queue_request_says_so(world: World) -> None:
    """The error names the option."""
    broker = world.broker()
    async with world.running(broker):
        with pytest.raises(SetupError, match="reply_queue"):
            await broker.request(1, "somewhere")
    with pytest.raises(SetupError):
        SQSBroker(reply_queue="replies.fifo")
