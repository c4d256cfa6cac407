"""A failed reply never fails the work: whoever asks chooses where the answer goes, and may choose badly."""

import logging
from typing import Any

import pytest
from faststream import BaseMiddleware
from faststream.exceptions import RejectMessage

from bbws.shared.sqs import Backoff, SQSBroker, SQSQueue, TestSQSBroker
from bbws.shared.sqs.limits import MAX_SQS_MESSAGE_BYTES
from tests.shared.sqs.test_behaviour import recording
from tests.shared.sqs.worlds import World, broker_on, counts, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate()}
QUEUE = SQSQueue("ask", dead_letter="ask-dlq", max_receive_count=2)
LOGGER = logging.getLogger("sqs-replies")
ELSEWHERE = {
    "no such queue": "nobody-made-this",
    "another account": "arn:aws:sqs:{region}:999999999999:theirs",
    "another region": "arn:aws:sqs:mars-north-1:{account}:ask",
    "a topic": "arn:aws:sns:{region}:{account}:ask",
    "half an ARN": "arn:aws:sqs",
    "an address": "http://192.0.2.1/queue",
    "no name": "what is / this?",
}


@pytest.mark.parametrize("reply_to", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_the_message_is_handled_all_the_same(aws: Aws, reply_to: str, caplog: pytest.LogCaptureFixture) -> None:
    """Handled once and deleted; where the answer should have gone, and why it did not, is one line in the log."""
    asked: list[int] = []
    broker = broker_on(aws, logger=LOGGER)

    @broker.subscriber(QUEUE, **FAST)
    async def double(number: int) -> int:
        asked.append(number)
        return 2 * number

    to = reply_to.format(region=aws.region, account=aws.access_key_id)
    async with started(broker):
        await broker.publish(21, "ask", reply_to=to)
        await eventually(lambda: asked, what="the handler ran")

        async def is_empty() -> bool:
            return not any((await counts(aws, "ask")).values())

        await eventually(is_empty, what="the message is deleted")
    assert asked == [21]
    assert not any((await counts(aws, "ask-dlq")).values())
    [line] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert line.getMessage().startswith(f"the answer could not be sent to {to!r}: ")
    assert line.queue == "ask"  # type: ignore[attr-defined]
    assert line.message_id  # type: ignore[attr-defined]


async def test_an_answer_that_is_too_large_is_no_failure(world: World) -> None:
    """The work was done; that its result fits into no message is the asker's loss alone."""
    broker = world.broker()
    answers, runs = recording(broker, "answers"), []

    @broker.subscriber(QUEUE, **FAST)
    async def grow(number: int) -> str:
        runs.append(number)
        return "x" * MAX_SQS_MESSAGE_BYTES

    async with world.running(broker):
        await broker.publish(1, "ask", reply_to="answers")
        await world.emptied("ask")
        assert await world.depth("ask-dlq") == 0
    assert (runs, answers) == ([1], [])


async def test_what_a_handler_publishes_is_part_of_its_work(world: World) -> None:
    """A publisher of the handler's own that fails makes the attempt a failed one, as before."""
    broker, runs = world.broker(), []

    @broker.subscriber(QUEUE, **FAST)
    @broker.publisher("next")
    async def grow(number: int) -> str:
        runs.append(number)
        return "x" * MAX_SQS_MESSAGE_BYTES

    async with world.running(broker):
        await world.publish(broker.publish(1, "ask"))
        await world.until(lambda: world.depth("ask-dlq"), "the dead letter")
    assert runs == [1, 1]


async def test_publishers_still_send_after_a_failed_reply() -> None:
    """One bad address must not keep the others from getting the answer."""
    broker = SQSBroker()
    seen = recording(broker, "next")

    @broker.subscriber("ask", **FAST)
    @broker.publisher("next")
    async def double(number: int) -> int:
        return 2 * number

    async with TestSQSBroker(broker) as running:
        await running.publish(21, "ask", reply_to="arn:aws:sqs")
    assert seen.bodies == [b"42"]


async def test_a_middleware_may_still_decide() -> None:
    """What a middleware raises to end the message ends it, while the answer is sent as at any time."""

    class NoAnswers(BaseMiddleware[Any, Any]):
        async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
            if cmd.destination == "answers":
                raise RejectMessage(reason="answers are not allowed")
            return await call_next(cmd)

    broker = SQSBroker(middlewares=[NoAnswers])

    @broker.subscriber(QUEUE, **FAST)
    async def double(number: int) -> int:
        return 2 * number

    test = TestSQSBroker(broker)
    async with test as running:
        await running.publish(21, "ask", reply_to="answers")
        [letter] = await test.messages("ask-dlq")
    assert letter.headers["dead-letter-reason"] == "answers are not allowed"
