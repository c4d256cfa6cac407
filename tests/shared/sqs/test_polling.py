"""Polling through outages, single receives, probes of a dependency: when each happens, and when no more. In memory."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError
from faststream.exceptions import IncorrectState

from bbws.shared.sqs import PauseSubscriber, SQSQueue, SQSSubscriber
from bbws.shared.sqs.client import Failure
from bbws.shared.sqs.memory import MemoryService
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, started
from tests.support.waiting import eventually

LOGGER = logging.getLogger("polling")


class Polled(MemoryService):
    """Notes what is asked of it and when; fails while `is_out`."""

    def __init__(self) -> None:
        super().__init__(now)
        self.is_out = False
        self.times: list[float] = []
        self.asked: list[int] = []
        self.waits: list[int] = []
        self.deleted: list[str] = []

    async def receive(self, queue_url: str, *, max_messages: int, wait_s: int, **options: Any) -> list[dict[str, Any]]:
        self.times.append(now())
        self.asked.append(max_messages)
        self.waits.append(wait_s)
        # A receive takes its time.
        await asyncio.sleep(0.005)
        if self.is_out:
            raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "ReceiveMessage")
        return await super().receive(queue_url, max_messages=max_messages, wait_s=wait_s, **options)

    async def delete_batch(self, queue_url: str, receipt_handles: Sequence[str]) -> Sequence[Failure]:
        self.deleted += receipt_handles
        return await super().delete_batch(queue_url, receipt_handles)


def gaps(times: Sequence[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


@virtual_clock
async def test_failed_polls_are_repeated_ever_more_slowly_up_to_half_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An outage of an hour must not cost a request each moment, nor be noticed as over only an hour later."""
    service, done = Polled(), list[int]()
    broker = BrokerOnMemory(service, logger=LOGGER)

    @broker.subscriber("q", max_workers=10, prefetch=0, wait_time=20)
    async def handle(number: int) -> None:
        done.append(number)

    caplog.set_level(logging.INFO)
    service.is_out = True
    async with started(broker):
        for outage in (1, 2):
            service.is_out = True
            await asyncio.sleep(1800)
            assert all(14 <= gap <= 31 for gap in gaps(service.times)[-20:])
            service.is_out = False
            await broker.publish(outage, "q")
            await eventually(lambda: done, within_s=40, what="it goes on")
            done.clear()
            await asyncio.sleep(100)
            # Whole receives: what failed asks for nothing any more.
            assert service.asked[-1] == 10
    assert [record.levelname for record in caplog.records if "cannot receive" in record.getMessage()] == ["ERROR"] * 2
    assert len([record for record in caplog.records if "receiving again" in record.getMessage()]) == 2


@virtual_clock
async def test_the_first_repetition_comes_soon() -> None:
    """Most faults of SQS last for a moment."""
    service = Polled()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", wait_time=0)
    async def handle(number: int) -> None: ...

    service.is_out = True
    async with started(broker):
        await asyncio.sleep(60)
        assert gaps(service.times)[0] <= 0.6
        assert gaps(service.times)[3] > 1.9


@virtual_clock
async def test_a_stop_does_not_wait_for_an_outage_to_end() -> None:
    """A deploy during an outage of SQS takes no longer than another."""
    service = Polled()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", wait_time=0)
    async def handle(number: int) -> None: ...

    service.is_out = True
    async with started(broker):
        await asyncio.sleep(600)
        began = now()
        await broker.stop()
        assert now() - began < 0.1


@virtual_clock
async def test_short_polls_of_an_empty_queue_take_a_breath() -> None:
    """SQS bills each: `wait_time=0` is ten times a second, not as often as the network can."""
    service = Polled()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", wait_time=0)
    async def handle(number: int) -> None: ...

    async with started(broker):
        await asyncio.sleep(60)
        assert 500 <= len(service.times) <= 601


class Moved(Polled):
    """The queue is gone, and another of its name has another address."""

    address = "memory://first/q"

    async def queue_url(self, name: str, account: str | None) -> str:
        return self.address

    async def receive(self, queue_url: str, **options: Any) -> list[dict[str, Any]]:
        if queue_url != self.address:
            raise ClientError({"Error": {"Code": "QueueDoesNotExist", "Message": "gone"}}, "ReceiveMessage")
        return await super().receive(queue_url, **options)


@virtual_clock
async def test_the_address_of_a_deleted_queue_is_forgotten() -> None:
    """A queue that was made anew, in another account behind the same name, is found without a restart."""
    service, done = Moved(), list[int]()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", wait_time=0)
    async def handle(number: int) -> None:
        done.append(number)

    async with started(broker):
        await asyncio.sleep(1)
        service.address = "memory://second/q"
        await asyncio.sleep(60)
        await broker.publish(1, "q")
        await eventually(lambda: done, within_s=40, what="it is handled")


@virtual_clock
async def test_a_queue_of_another_account_is_looked_up_there() -> None:
    """An ARN names its account; without it SQS would find a queue of ours, or none."""
    service, asked = Polled(), list[tuple[str, str | None]]()

    async def queue_url(name: str, account: str | None) -> str:
        asked.append((name, account))
        return f"memory://{name}"

    service.queue_url = queue_url  # type: ignore[method-assign]
    broker = BrokerOnMemory(service)
    async with started(broker):
        for _ in range(2):
            await broker.publish("x", "arn:aws:sqs:af-south-1:123456789012:theirs")
        await broker.publish("x", "ours")
    assert asked == [("theirs", "123456789012"), ("ours", None)]


@virtual_clock
async def test_a_broker_whose_loop_has_ended_is_not_well() -> None:
    """Its queue answers and nothing is received: a health check that says yes keeps the process alive for nothing."""
    broker = BrokerOnMemory(Polled())

    @broker.subscriber("q", wait_time=0)
    async def handle(number: int) -> None: ...

    async with started(broker):
        await asyncio.sleep(1)
        assert await broker.ping()
        [subscriber] = broker.subscribers
        assert isinstance(subscriber, SQSSubscriber)
        assert subscriber._work.polling is not None
        subscriber._work.poller.stop()
        await subscriber._work.polling
        assert not await broker.ping()


@virtual_clock
async def test_iteration_goes_on_after_an_outage() -> None:
    """`async for` is a loop of the user's: a moment's fault of SQS must not end it."""
    service, got = Polled(), list[bytes]()
    broker = BrokerOnMemory(service)
    subscriber = broker.subscriber("q", wait_time=1)

    async def consume() -> None:
        async for message in subscriber:
            got.append(message.body)
            await message.ack()

    async with started(broker):
        consuming = asyncio.create_task(consume())
        service.is_out = True
        await asyncio.sleep(60)
        service.is_out = False
        await broker.publish("x", "q")
        await eventually(lambda: got, within_s=40, what="the message after the outage")
        await subscriber.stop()
        await asyncio.wait_for(consuming, 5)


@virtual_clock
async def test_get_one_waits_as_long_as_asked_in_polls_that_sqs_takes() -> None:
    """SQS waits twenty seconds at most, whole ones; the caller may wait longer."""
    service = Polled()
    broker = BrokerOnMemory(service)
    subscriber = broker.subscriber("q")
    async with started(broker):
        began = now()
        assert await subscriber.get_one(timeout=50.5) is None
        assert 50.5 <= now() - began < 51
        assert max(service.waits) == 20


@virtual_clock
async def test_what_a_receive_brings_after_the_stop_goes_back() -> None:
    """Nobody is there any more who would settle it."""
    service = Late()
    service.declare(SQSQueue("q", visibility_timeout=600))
    broker = BrokerOnMemory(service)
    subscriber = broker.subscriber("q")
    async with started(broker):
        await broker.publish("x", "q")
        asking = asyncio.create_task(subscriber.get_one(timeout=5))
        await asyncio.sleep(1)
        await broker.stop()
        assert len(service._queue("q").receivable(now() + 0.1)) == 1
        assert await asking is None


class Late(Polled):
    """An answer takes three seconds to arrive."""

    async def receive(self, queue_url: str, **options: Any) -> list[dict[str, Any]]:
        received = await super().receive(queue_url, **options)
        await asyncio.sleep(3)
        return received


class Dependency:
    """Out, and asked at these times."""

    def __init__(self) -> None:
        self.is_out = True
        self.asked_at: list[float] = []

    async def ping(self) -> bool:
        self.asked_at.append(now())
        return not self.is_out


@virtual_clock
async def test_a_dependency_is_asked_ever_more_slowly_and_by_one(caplog: pytest.LogCaptureFixture) -> None:
    """However many handlers met the outage, it is one pause; each begins with quick questions again."""
    service, database, done = Polled(), Dependency(), list[int]()
    broker = BrokerOnMemory(service, logger=LOGGER)

    @broker.subscriber("q", max_workers=5, wait_time=0)
    async def handle(number: int) -> None:
        await asyncio.sleep(0.1)
        if database.is_out:
            raise PauseSubscriber(reason="database is out", probe=database.ping, delay=30)
        done.append(number)

    async with started(broker):
        for _ in range(2):
            database.is_out = True
            database.asked_at = [now()]
            await broker.publish_batch(*range(5), queue="q")
            await asyncio.sleep(600)
            intervals = gaps(database.asked_at)
            assert intervals[0] <= 1.5
            assert all(5 <= interval <= 10.1 for interval in intervals[5:])
            database.is_out = False
            await eventually(lambda: len(done) == 5, within_s=60, what="it goes on")
            done.clear()
    assert len([record for record in caplog.records if "paused" in record.getMessage()]) == 2


@virtual_clock
async def test_a_question_without_an_answer_is_given_up_and_asked_again() -> None:
    """A dependency that hangs must not hang the subscriber for good."""
    service, done, asked = Polled(), list[int](), 0
    broker = BrokerOnMemory(service)

    async def ping() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.sleep(10_000)

    @broker.subscriber("q", wait_time=0)
    async def handle(number: int) -> None:
        if asked < 2:
            raise PauseSubscriber(reason="out", probe=ping, delay=30)
        done.append(number)

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: done, within_s=60, what="it goes on")


@virtual_clock
async def test_a_stopped_subscriber_asks_nothing_any_more() -> None:
    """A probe after the stop would meet closed clients."""
    service, database = Polled(), Dependency()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", wait_time=0)
    async def handle(number: int) -> None:
        raise PauseSubscriber(reason="out", probe=database.ping)

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: database.asked_at, what="the first question")
    asked = len(database.asked_at)
    await asyncio.sleep(100)
    assert len(database.asked_at) == asked


@virtual_clock
async def test_while_one_message_is_tried_no_other_is() -> None:
    """What came meanwhile by another's receive waits for the outcome, and the trial is the first one's."""
    service, running, most, database = Polled(), 0, 0, Dependency()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", max_workers=5, wait_time=0)
    async def handle(number: int) -> None:
        nonlocal running, most
        if database.is_out:
            raise PauseSubscriber(reason="out", probe=database.ping, delay=1)
        running += 1
        most = max(most, running) if len(tried) < 1 else most
        await asyncio.sleep(5)
        tried.append(number)
        running -= 1

    tried: list[int] = []
    async with started(broker):
        await broker.publish_batch(*range(5), queue="q")
        await asyncio.sleep(30)
        database.is_out = False
        await eventually(lambda: len(tried) == 5, within_s=100, what="all are done")
    assert most == 1


@virtual_clock
async def test_the_store_is_not_begun_when_the_handler_before_it_pauses() -> None:
    """Each would meet the same outage, and cost its message a receive and the dependency a call."""
    service, begun, go_on, database = Polled(), list[int](), asyncio.Event(), Dependency()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", max_workers=1, wait_time=0)
    async def handle(number: int) -> None:
        begun.append(number)
        if len(begun) == 5:
            await go_on.wait()
            raise PauseSubscriber(reason="out", probe=database.ping, delay=600)

    def visible() -> int:
        return len(service._queue("q").receivable(now()))

    async with started(broker):
        await broker.publish_batch(*range(9), queue="q")
        await eventually(lambda: len(begun) == 5, what="the fifth is in work")
        await asyncio.sleep(1)
        assert visible() == 0
        go_on.set()
        await asyncio.sleep(20)
        assert len(begun) == 5
        assert [round(stored.visible_at - now(), -2) for stored in service._queue("q").messages] == [600] * 5


class TestReplies:
    REPLIES = SQSQueue("replies")

    @virtual_clock
    async def test_an_answer_for_another_process_is_put_back_and_not_for_ever(self) -> None:
        """It belongs to somebody else who shares the queue; one that nobody takes is thrown away at its fiftieth."""
        service = Polled()
        broker = BrokerOnMemory(service, reply_queue=self.REPLIES)
        async with started(broker):
            await broker.publish("late", "replies", correlation_id="of another")
            asking = asyncio.create_task(broker.request(1, "nobody", timeout=5000))
            await asyncio.sleep(20)
            [stored] = service._queue("replies").messages
            assert stored.receive_count > 5
            await eventually(lambda: not service.messages("replies"), within_s=2000, what="it is thrown away")
            assert stored.receive_count == 50
            asking.cancel()

    @virtual_clock
    async def test_an_outage_costs_no_answer(self) -> None:
        """Who waits goes on waiting, up to the timeout; what is answered is deleted."""
        service = Polled()
        broker = BrokerOnMemory(service, reply_queue=self.REPLIES)
        async with started(broker):
            service.is_out = True
            asking = asyncio.create_task(broker.request(1, "nobody", correlation_id="mine", timeout=100))
            await asyncio.sleep(10)
            service.is_out = False
            await broker.publish("the answer", "replies", correlation_id="mine")
            assert await (await asking).decode() == "the answer"
            await eventually(lambda: not service.messages("replies"), what="it is deleted")

    @virtual_clock
    async def test_two_requests_under_one_id_are_refused(self) -> None:
        """One of them would wait for ever, or get the other's answer."""
        broker = BrokerOnMemory(Polled(), reply_queue=self.REPLIES)
        async with started(broker):
            asking = asyncio.create_task(broker.request(1, "nobody", correlation_id="same", timeout=100))
            await asyncio.sleep(1)
            with pytest.raises(ValueError, match="same"):
                await broker.request(1, "nobody", correlation_id="same", timeout=1)
            await broker.stop()
            with pytest.raises(IncorrectState):
                await asking
