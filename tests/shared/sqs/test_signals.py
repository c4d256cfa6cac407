"""Control flow inside exception groups: a TaskGroup in a handler changes nothing of what its tasks raise."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from faststream import AckPolicy, BaseMiddleware
from faststream.exceptions import (
    AckMessage,
    NackMessage,
    RejectMessage,
    SkipMessage,
    StopApplication,
    StopConsume,
)

from bbws.shared.sqs import Backoff, PauseSubscriber, ReturnMessage, SQSBroker, SQSQueue, TestSQSBroker
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.requeued import requeued
from bbws.shared.sqs.signals import leaves, signal_in
from bbws.shared.sqs.subscriber.copies import describe
from tests.shared.sqs.worlds import BrokerOnMemory, World, started
from tests.support.waiting import eventually

FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate()}
QUEUE = SQSQueue("work", dead_letter="work-dlq", max_receive_count=2)


async def never() -> bool:
    return False


async def in_tasks(*errors: BaseException) -> None:
    """Raised by tasks of a group within a group."""

    async def fail(error: BaseException) -> None:
        raise error

    async with asyncio.TaskGroup() as outer:

        async def inner() -> None:
            async with asyncio.TaskGroup() as group:
                for error in errors:
                    group.create_task(fail(error))

        outer.create_task(inner())


def handled(broker: SQSBroker, errors: Callable[[], list[BaseException]], **options: Any) -> list[int]:
    """A handler whose tasks raise these; how often it ran."""
    runs: list[int] = []

    @broker.subscriber(QUEUE, **(FAST | options))
    async def handle(body: str) -> None:
        runs.append(len(runs))
        await in_tasks(*errors())

    return runs


class TestOneSignal:
    async def test_a_task_rejects(self, world: World) -> None:
        """Buried at once with the reason and what it was raised from, not after three attempts as a group."""
        broker = world.broker()

        @broker.subscriber(QUEUE, **FAST)
        async def handle(body: str) -> None:
            async def task() -> None:
                raise RejectMessage(reason="unknown product") from KeyError("p-1")

            async with asyncio.TaskGroup() as group:
                group.create_task(task())

        async with world.running(broker):
            await world.publish(broker.publish("x", "work"))
            await world.until(lambda: world.depth("work-dlq"), "the dead letter")
            [letter] = await world.messages("work-dlq")
        assert letter.headers["dead-letter-reason"] == "unknown product"
        assert letter.headers["dead-letter-exception"] == "KeyError: 'p-1'"
        assert letter.headers["dead-letter-receive-count"] == "1"

    async def test_a_task_pauses(self, world: World) -> None:
        """An outage seen by a task is an outage: the subscriber waits, the message stays."""
        broker = world.broker()
        runs = handled(broker, lambda: [PauseSubscriber(reason="out", probe=never, delay=60)])
        subscriber: Any = broker.subscribers[0]
        async with world.running(broker):
            await world.publish(broker.publish("x", "work"))
            await world.until(lambda: subscriber.paused, "the pause")
            assert await world.depth("work") == 1
        assert runs == [0]

    @pytest.mark.parametrize("policy", [AckPolicy.NACK_ON_ERROR, AckPolicy.REJECT_ON_ERROR, AckPolicy.MANUAL])
    async def test_a_task_pauses_under_any_policy(self, policy: AckPolicy) -> None:
        """What the handler means is known before the policy is asked."""
        broker = SQSBroker()
        handled(broker, lambda: [PauseSubscriber(reason="out", probe=never, delay=60)], ack_policy=policy)
        subscriber: Any = broker.subscribers[0]
        async with TestSQSBroker(broker, raise_errors=False) as running:
            await running.publish("x", "work")
            assert subscriber.paused

    async def test_a_task_says_it_is_done(self, world: World) -> None:
        """AckMessage deletes, from within a group too."""
        broker = world.broker()
        runs = handled(broker, lambda: [AckMessage()])
        async with world.running(broker):
            await world.publish(broker.publish("x", "work"))
            await world.until(lambda: runs, "it ran")
            await world.emptied("work")
            assert await world.depth("work-dlq") == 0
        assert runs == [0]

    async def test_a_task_returns_its_message(self) -> None:
        """NackMessage keeps its delay, counts as a failed attempt, and brings the reason that it was raised from."""
        broker = SQSBroker()
        runs = handled(broker, lambda: [NackMessage(delay=60)])
        test = TestSQSBroker(broker)
        async with test as running:
            await running.publish("x", "work")
            await test.advance(59)
            assert runs == [0]
            await test.advance(2)
            assert runs == [0, 1]
            assert len(await test.messages("work-dlq")) == 1

    async def test_a_task_stops_the_subscriber(self) -> None:
        """StopConsume within a group stops receiving, and the message stays."""
        service = MemoryService()
        broker = BrokerOnMemory(service)
        runs = handled(broker, lambda: [StopConsume()])
        subscriber: Any = broker.subscribers[0]
        async with started(broker):
            await broker.publish("x", "work")
            await eventually(lambda: not subscriber.running, what="it stopped")
        [message] = service.messages("work")
        # A copy in its place says that it was received, and that it has not failed.
        said = requeued(message["MessageAttributes"])
        assert said is not None
        assert (runs, said.receives, said.failures) == ([0], 1, 0)


class TestNoSignal:
    async def test_the_reason_names_what_is_inside(self, world: World) -> None:
        """ "unhandled errors in a TaskGroup" tells an operator nothing."""
        broker = world.broker()
        runs = handled(broker, lambda: [ValueError("no such product"), KeyError("p-1")])
        async with world.running(broker):
            await world.publish(broker.publish("x", "work"))
            await world.until(lambda: world.depth("work-dlq"), "the dead letter")
            [letter] = await world.messages("work-dlq")
        assert runs == [0, 1]
        assert letter.headers["dead-letter-exception"] == "ValueError: no such product; KeyError: 'p-1'"

    def test_a_rejections_cause_is_named_likewise(self) -> None:
        """Whoever rejects because of a group meant what is in it."""
        rejection = RejectMessage(reason="bad")
        rejection.__cause__ = ExceptionGroup("two", [ValueError("a"), ExceptionGroup("one", [KeyError("b")])])
        assert describe(rejection) == "ValueError: a; KeyError: 'b'"


class TestSeveral:
    CAREFUL: tuple[BaseException, ...] = (
        PauseSubscriber(reason="out", probe=never),
        StopConsume(),
        ReturnMessage(delay=1),
        NackMessage(delay=1),
        ValueError("ordinary"),
        SkipMessage(),
        RejectMessage(),
        AckMessage(),
    )

    @pytest.mark.parametrize("careful", range(len(CAREFUL) - 1))
    def test_the_most_careful_wins(self, careful: int) -> None:
        """Nothing is deleted or buried that another task wanted to try again, whatever their order."""
        first, *others = self.CAREFUL[careful:]
        for less in others:
            for errors in ([first, less], [less, first]):
                group = BaseExceptionGroup("two", [BaseExceptionGroup("nested", errors)])
                assert signal_in(group) is (group if isinstance(first, ValueError) else first)

    def test_the_end_of_the_program_is_a_stop(self) -> None:
        """SystemExit leaves a group of trio's kind inside of it."""
        end = StopApplication()
        assert signal_in(BaseExceptionGroup("two", [RejectMessage(), end])) is end

    def test_what_is_no_group_stays_what_it_is(self) -> None:
        """Nothing changes for those who use no groups."""
        for error in self.CAREFUL:
            assert signal_in(error) is error
            assert list(leaves(error)) == [error]

    async def test_what_failed_beside_it_is_not_lost(self, caplog: pytest.LogCaptureFixture) -> None:
        """An ordinary error beside a signal is in the log, and the reason when the attempts are used up."""
        service = MemoryService()
        broker = BrokerOnMemory(service, logger=logging.getLogger("sqs-signals"))
        handled(broker, lambda: [NackMessage(delay=1), ValueError("no such product")], attempts=1)
        service.declare(QUEUE)
        async with started(broker):
            await broker.publish("x", "work")
            [letter] = await eventually(lambda: service.messages("work-dlq"), what="the dead letter")
        reason = letter["MessageAttributes"]["dead-letter-exception"]["StringValue"]
        assert reason == "ValueError: no such product"
        [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert line.getMessage() == "beside NackMessage: ValueError: no such product"
        assert line.exc_info


class TestMiddlewares:
    async def test_they_see_the_signal(self) -> None:
        """Metrics and translations of errors know signals by their class, not as groups."""
        seen: list[str] = []

        class Watching(BaseMiddleware[Any, Any]):
            async def consume_scope(self, call_next: Any, msg: Any) -> Any:
                try:
                    return await call_next(msg)
                except BaseException as error:
                    seen.append(type(error).__name__)
                    raise

            async def after_processed(self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None) -> bool:
                seen.append(exc_type.__name__)
                return False

        broker = SQSBroker(middlewares=[Watching])
        handled(broker, lambda: [RejectMessage(reason="bad")])
        async with TestSQSBroker(broker) as running:
            await running.publish("x", "work")
        assert seen == ["RejectMessage", "RejectMessage"]

    async def test_a_group_of_a_middleware_means_the_same(self) -> None:
        """A middleware that runs something beside the handler wraps what the handler raises."""

        class Beside(BaseMiddleware[Any, Any]):
            async def consume_scope(self, call_next: Any, msg: Any) -> Any:
                async with asyncio.TaskGroup() as group:
                    return await group.create_task(call_next(msg))

        broker = SQSBroker(middlewares=[Beside])

        @broker.subscriber(QUEUE, **FAST)
        async def handle(body: str) -> None:
            raise RejectMessage(reason="bad")

        test = TestSQSBroker(broker)
        async with test as running:
            await running.publish("x", "work")
            [letter] = await test.messages("work-dlq")
        assert letter.headers["dead-letter-reason"] == "bad"
