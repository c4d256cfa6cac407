"""While a message is ours nobody else handles it, and when it is not we do not: in memory, with clocks that jump."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from bbws.shared.sqs import Backoff, SQSMessage, SQSQueue
from bbws.shared.sqs.client import Failure
from bbws.shared.sqs.dead_letters import EXCEPTION, REASON
from bbws.shared.sqs.errors import HandlerCancelled
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.subscriber.stalls import StallWatch
from tests.shared.sqs.virtual_clock import freeze, now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, started
from tests.support.waiting import eventually

FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate()}


class Noted(MemoryService):
    """Notes what is asked of leases; a receive's answer takes `takes_s`, and says which lease it came with."""

    def __init__(self, takes_s: float = 0) -> None:
        super().__init__(now)
        self.takes_s = takes_s
        self.asked: list[int | None] = []
        self.extended: list[str] = []
        self.looks = 0

    async def receive(
        self, queue_url: str, *, visibility_timeout_s: int | None, **options: Any
    ) -> list[dict[str, Any]]:
        self.asked.append(visibility_timeout_s)
        received = await super().receive(queue_url, visibility_timeout_s=visibility_timeout_s, **options)
        await asyncio.sleep(self.takes_s)
        return received

    async def queue_attributes(self, queue_url: str) -> dict[str, str]:
        self.looks += 1
        return await super().queue_attributes(queue_url)

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        self.extended += [handle for handle, seconds in entries if seconds]
        return await super().change_visibility_batch(queue_url, entries)


@virtual_clock
async def test_the_heartbeat_follows_the_queues_own_timeout() -> None:
    """Changed from 60 to 2 s while consumers run, it let one message be handled five times side by side (B6)."""
    service, begun = Noted(), Counter[int]()
    service.declare(SQSQueue("q", visibility_timeout=60))
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", max_workers=10, **FAST)
    async def handle(number: int) -> None:
        begun[number] += 1
        await asyncio.sleep(6)

    def set_timeout(seconds: int) -> None:
        service._queue("q").settings = SQSQueue("q", visibility_timeout=seconds)

    async with started(broker):
        await broker.publish(0, "q")
        await eventually(lambda: not service.messages("q"), what="one is done")
        set_timeout(2)
        for number in range(1, 30):
            await broker.publish(number, "q")
            await asyncio.sleep(10)
        await eventually(lambda: not service.messages("q"), what="all are done")
        set_timeout(600)
        await asyncio.sleep(300)
    assert set(begun.values()) == {1}
    # Sent with each receive, so that lease and heartbeat agree; learned of within some minutes.
    assert {60, 2, 600} == set(service.asked)
    assert service.asked.index(2) < 1300
    assert service.looks <= 8


@virtual_clock
async def test_where_the_attributes_cannot_be_read_again_the_old_ones_do() -> None:
    """A moment's refusal of GetQueueAttributes must not stop the consumer."""
    service, done = Refusing(), set[int]()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", **FAST)
    async def handle(number: int) -> None:
        done.add(number)

    async with started(broker):
        for number in range(50):
            service.refuses = number > 5
            await broker.publish(number, "q")
            await asyncio.sleep(20)
    assert done == set(range(50))


class Refusing(Noted):
    refuses = False

    async def queue_attributes(self, queue_url: str) -> dict[str, str]:
        if self.refuses:
            raise TimeoutError
        return await super().queue_attributes(queue_url)


@pytest.mark.parametrize("heartbeat", [True, False])
@pytest.mark.parametrize("fifo", [False, True])
@virtual_clock
async def test_after_a_stop_signal_nothing_begins_that_others_may_have(heartbeat: bool, fifo: bool) -> None:
    """SIGSTOP for 6 s with a lease of 3 s: seven messages were handled that others already had (B12)."""
    service = MemoryService(now)
    queue = SQSQueue("q", visibility_timeout=3, fifo=fifo)
    service.declare(queue)
    broker = BrokerOnMemory(service, graceful_timeout=0.1)
    begun: list[tuple[int, bool]] = []

    @broker.subscriber(queue, heartbeat=heartbeat, **FAST)
    async def handle(number: int, message: SQSMessage) -> None:
        stored = [each for each in service._queue(queue.name).messages if each.handle == message.receipt_handle]
        begun.append((number, bool(stored) and stored[0].visible_at > now()))
        await asyncio.sleep(0.02)
        if len(begun) == 20:
            freeze(6)

    await broker.connect()
    for number in range(60):
        options: dict[str, Any] = {"group_id": "a", "deduplication_id": str(number)} if fifo else {}
        await broker.publish(number, queue, **options)
    async with started(broker):
        await eventually(lambda: not service.messages(queue.name), within_s=60, what="all are done")
    assert {number for number, _ in begun} == set(range(60))
    assert all(is_ours for _, is_ours in begun)


@virtual_clock
async def test_what_expired_is_never_extended() -> None:
    """It may be another's by now, who would hold it longer than he knows or lose it sooner."""
    service, begun = Noted(), asyncio.Event()
    service.declare(SQSQueue("q", visibility_timeout=4))
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", **FAST)
    async def handle(number: int) -> None:
        begun.set()
        await asyncio.sleep(100)

    async with started(broker):
        await broker.publish(1, "q")
        await begun.wait()
        freeze(6)
        await asyncio.sleep(30)
        assert not service.extended


@pytest.mark.parametrize("wait_s", [0, 20])
@virtual_clock
async def test_an_answer_that_lay_here_during_a_stall_is_as_old_as_the_stall(wait_s: int) -> None:
    """The lease runs from when SQS answered, not from when we came to read it."""
    service, begun = Noted(takes_s=1), list[float]()
    service.declare(SQSQueue("q", visibility_timeout=3))
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", wait_time=wait_s)
    async def handle(message: SQSMessage) -> None:
        begun.append(message.receive_count)

    await broker.connect()
    await broker.publish(1, "q")
    async with started(broker):
        await asyncio.sleep(0.5)
        assert len(service.asked) == 1
        freeze(6)
        await eventually(lambda: not service.messages("q"), what="it is handled at its second receive")
    assert begun == [2]


@virtual_clock
async def test_a_stall_is_noticed_in_whatever_order_timers_wake_up() -> None:
    """The watch may look before or after the answer is read."""
    for is_looking_first in (True, False):
        watch = StallWatch()
        watch.watch(8)
        await asyncio.sleep(30)
        asked = now()
        assert watch.received_at(asked, 20) == pytest.approx(asked, abs=0.1)
        await asyncio.sleep(10)
        assert watch.received_at(asked, 20) == pytest.approx(asked + 10, abs=0.1)
        freeze(7)
        if is_looking_first:
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        assert watch.received_at(asked, 20) == pytest.approx(asked + 10, abs=1.1)
        await asyncio.sleep(2.5)
        assert watch.received_at(asked, 20) >= asked + 19
        watch.stop()


@pytest.mark.parametrize("fifo", [False, True])
@virtual_clock
async def test_a_cancellation_that_is_not_ours_is_a_failure(fifo: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that awaits what was cancelled elsewhere was called hundreds of times, and never buried (B5)."""
    service, tried = MemoryService(now), 0
    queue = SQSQueue("q", dead_letter="q-dlq", max_receive_count=10, fifo=fifo)
    service.declare(queue)
    broker = BrokerOnMemory(service, logger=logging.getLogger("cancelled"))
    elsewhere: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    elsewhere.cancel()

    @broker.subscriber(queue, attempts=3, **FAST)
    async def handle(number: int) -> None:
        nonlocal tried
        tried += 1
        await elsewhere

    await broker.connect()
    options: dict[str, Any] = {"group_id": "a", "deduplication_id": "1"} if fifo else {}
    await broker.publish(1, queue, **options)
    dead = "q-dlq.fifo" if fifo else "q-dlq"
    async with started(broker):
        await eventually(lambda: service.messages(dead), what="the dead letter")
        await asyncio.sleep(5)
    [letter] = service.messages(dead)
    assert tried == 3
    assert letter["MessageAttributes"][REASON]["StringValue"] == "failed 3 times"
    assert letter["MessageAttributes"][EXCEPTION]["StringValue"].startswith(HandlerCancelled.__name__)
    assert [record for record in caplog.records if record.levelno == logging.ERROR]


@virtual_clock
async def test_a_handler_that_cancels_its_own_task_has_failed() -> None:
    """Only a stop's cancellation is no failure."""
    service, tried = MemoryService(now), 0
    service.declare(SQSQueue("q", dead_letter="q-dlq", max_receive_count=10))
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", attempts=2, **FAST)
    async def handle(number: int) -> None:
        nonlocal tried
        tried += 1
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: service.messages("q-dlq"), what="the dead letter")
    assert tried == 2


@virtual_clock
async def test_a_stop_buries_nothing_that_others_may_have() -> None:
    """At its last delivery too: its lease ended while the process stood still, so it is no longer ours to end."""
    service, begun = MemoryService(now), asyncio.Event()
    queue = SQSQueue("q", dead_letter="q-dlq", max_receive_count=1, visibility_timeout=3, fifo=True)
    service.declare(queue)
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber(queue, **FAST)
    async def handle(number: int) -> None:
        begun.set()
        await asyncio.sleep(100)

    await broker.connect()
    for number in range(3):
        await broker.publish(number, queue, group_id="a", deduplication_id=str(number))
    async with started(broker):
        await begun.wait()
        freeze(6)
        await broker.stop()
    assert not service.messages("q-dlq.fifo")
