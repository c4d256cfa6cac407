"""The test broker, however a test comes by its broker and its subscribers."""

import asyncio
from typing import Any

import pytest
from faststream import FastStream, TestApp

from bbws.shared.sqs import PauseSubscriber, SQSBroker, SQSQueue, SQSRouter, TestSQSBroker, TopicLink
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.outgoing import Outgoing
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, broker_on, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
async def _nothing_hangs() -> Any:
    """A loop that never yields would be noticed by nobody; one that is left behind is."""
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


class TestSubscribersOfATest:
    async def test_one_made_and_started_inside_gets_messages(self) -> None:
        """As with FastStream's other brokers; `wait_time` is that of production and costs nothing."""
        seen: list[str] = []

        async def handle(body: str) -> None:
            seen.append(body)

        async with TestSQSBroker(SQSBroker()) as broker:
            subscriber = broker.subscriber("late", wait_time=20)
            subscriber(handle)
            await subscriber.start()
            await broker.publish("x", "late")
            assert seen == ["x"]
            began = now()
            await subscriber.stop()
            assert now() - began < 5
            await broker.publish("y", "late")
            assert seen == ["x"]

    async def test_starting_the_broker_again_starts_what_is_new(self) -> None:
        """`start()` inside is what applications do; what runs goes on as it is."""
        broker, seen = SQSBroker(), []

        @broker.subscriber("early")
        async def early(body: str) -> None:
            seen.append(body)

        async with TestSQSBroker(broker):
            await broker.start()
            await broker.publish("x", "early")

            @broker.subscriber("late", wait_time=20)
            async def late(body: str) -> None:
                seen.append(body)

            await broker.start()
            await broker.publish("y", "late")
            late.mock.assert_called_once_with("y")
            await broker.publish("z", "early")
        assert seen == ["x", "y", "z"]

    async def test_starting_again_forgets_nothing(self) -> None:
        """A pause is not over because somebody calls `start()`."""
        broker = SQSBroker()

        async def probe() -> bool:
            return False

        @broker.subscriber("q")
        async def handle(body: str) -> None:
            raise PauseSubscriber(reason="out", probe=probe)

        subscriber: Any = broker.subscribers[0]
        async with TestSQSBroker(broker):
            await broker.publish("x", "q")
            assert subscriber.paused
            await broker.start()
            assert subscriber.paused

    @virtual_clock
    async def test_what_came_during_a_pause_is_handled_when_it_is_over(self) -> None:
        """It has been visible since, so that no delay brings it."""
        broker, seen = SQSBroker(), list[str]()

        async def probe() -> None: ...

        @broker.subscriber("q")
        async def handle(body: str) -> None:
            seen.append(body)
            if seen == ["first"]:
                raise PauseSubscriber(reason="out", probe=probe, delay=5)

        subscriber: Any = broker.subscribers[0]
        test = TestSQSBroker(broker)
        async with test:
            await broker.publish("first", "q")
            await broker.publish("second", "q")
            await test.advance(10)
            assert seen == ["first"]
            await eventually(lambda: not subscriber.paused, within_s=5, what="the probe has succeeded")
            await test.advance(0)
            assert sorted(seen) == ["first", "first", "second"]

    async def test_a_late_queue_is_known_with_all_its_settings(self) -> None:
        """Its subscriptions and dead letters count, by whichever way it came."""
        broker, router, seen = SQSBroker(), SQSRouter("r-"), []

        @router.subscriber(SQSQueue("late", topics=[TopicLink("news")]))
        async def handle(body: str) -> None:
            seen.append(body)

        test = TestSQSBroker(broker)
        async with test:
            broker.include_router(router)
            [subscriber] = broker.subscribers
            await subscriber.start()
            await broker.publish("x", topic="r-news")
            publisher = broker.publisher(SQSQueue("heard", topics=[TopicLink("said")]))
            await publisher.publish("y")
            await broker.publish("z", topic="said")
            assert [message.body for message in await test.messages("heard")] == [b"y", b"z"]
        assert seen == ["x"]

    async def test_in_an_application(self) -> None:
        """TestApp starts the broker within the test broker."""
        broker, seen = SQSBroker(), []

        @broker.subscriber("q")
        async def handle(body: str) -> None:
            seen.append(body)

        async with TestSQSBroker(broker), TestApp(FastStream(broker)):
            await broker.publish("x", "q")
        assert seen == ["x"]


class TestABrokerThatRuns:
    async def test_it_is_in_memory_meanwhile_and_on_aws_again_afterwards(self, aws: Aws) -> None:
        """A broker that a fixture has started can be tested, and loses neither its connection nor its loops."""
        broker, seen = broker_on(aws), []

        @broker.subscriber("q", wait_time=1)
        async def handle(body: str) -> None:
            seen.append(body)

        async with started(broker):
            producer, connection = broker.config.producer, broker._connection
            async with TestSQSBroker(broker) as test:
                await test.publish("in memory", "q")
                assert seen == ["in memory"]
            assert broker.config.producer is producer
            assert broker._connection is connection
            await broker.publish("on AWS", "q")
            await eventually(lambda: len(seen) == 2, what="it receives from AWS")
        assert seen == ["in memory", "on AWS"]

    async def test_a_test_that_fails_leaves_it_as_it_was(self, aws: Aws) -> None:
        """The next test has the same broker."""
        broker = broker_on(aws)
        async with started(broker):
            producer = broker.config.producer
            with pytest.raises(ZeroDivisionError):
                async with TestSQSBroker(broker):
                    raise ZeroDivisionError
            assert broker.config.producer is producer
            await broker.publisher("q").publish("x")

    async def test_one_that_was_never_started_is_not_connected_afterwards(self) -> None:
        """As before, too."""
        broker = SQSBroker()
        async with TestSQSBroker(broker):
            assert broker.config.broker_config.client
        assert broker._connection is None
        assert broker.config.broker_config.declarer is None


class TestRequests:
    async def test_a_timeout_is_kept(self) -> None:
        """The asker goes on after `timeout`; the handler is not cut off by that, as it is not in production."""
        broker = SQSBroker(reply_queue="replies")
        go_on, ended = asyncio.Event(), asyncio.Event()

        @broker.subscriber("slow")
        async def slow(body: str) -> str:
            await go_on.wait()
            ended.set()
            return body

        async with TestSQSBroker(broker):
            began = now()
            with pytest.raises(TimeoutError):
                await broker.request("x", "slow", timeout=0.01)
            assert now() - began < 1
            go_on.set()
            await eventually(ended.is_set, what="the handler has ended")

    async def test_what_nobody_ends_ends_with_the_test(self) -> None:
        """No handler is left behind in the loop of the next test."""
        broker = SQSBroker(reply_queue="replies")

        @broker.subscriber("endless")
        async def endless(body: str) -> None:
            await asyncio.Event().wait()

        async with TestSQSBroker(broker):
            with pytest.raises(TimeoutError):
                await broker.request("x", "endless", timeout=0.01)


class TestWaiting:
    @virtual_clock
    async def test_a_long_poll_waits_for_its_time(self) -> None:
        """An idle subscriber costs one receive in `wait_time`, and others run meanwhile."""
        service = MemoryService(now)
        began = now()
        assert not await self.received(service, wait_s=20)
        assert 20 <= now() - began < 20.1

    @virtual_clock
    async def test_a_long_poll_ends_with_what_comes(self) -> None:
        """Sent, delayed, or given back: it is there at its moment."""
        service = MemoryService(now)
        for delay_s, expected_s in ((None, 3), (5, 8)):
            began = now()
            waiting = asyncio.create_task(self.received(service, wait_s=20))
            await asyncio.sleep(3)
            await service.send("q", Outgoing("x", delay_s=delay_s))
            [message] = await waiting
            assert expected_s <= now() - began < expected_s + 0.1
            await service.delete_batch("q", [message["ReceiptHandle"]])

    @virtual_clock
    async def test_an_idle_subscriber_does_not_spin(self) -> None:
        """Twenty seconds, one receive; a loop that never yields would end this test never."""

        class Counting(MemoryService):
            receives = 0

            async def receive(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
                self.receives += 1
                return await super().receive(*args, **options)

        service = Counting(now)
        broker = BrokerOnMemory(service)

        @broker.subscriber("q", wait_time=20)
        async def handle(body: str) -> None: ...

        async with started(broker):
            await asyncio.sleep(100)
            assert service.receives <= 6

    async def test_get_one_in_a_test_waits_for_what_is_published(self) -> None:
        """And not longer than it is asked to."""
        async with TestSQSBroker(SQSBroker()) as broker:
            subscriber = broker.subscriber("q")
            await subscriber.start()
            waiting = asyncio.create_task(subscriber.get_one(timeout=5))
            await asyncio.sleep(0)
            await broker.publish("x", "q")
            message = await waiting
            assert message
            assert message.body == b"x"
            assert await subscriber.get_one(timeout=0.01) is None

    @staticmethod
    async def received(service: MemoryService, *, wait_s: int) -> list[dict[str, Any]]:
        return await service.receive("q", max_messages=10, wait_s=wait_s, visibility_timeout_s=None)
