"""Messages in work stay invisible to others, for hours if need be, and no longer than SQS allows. In memory."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from bbws.shared.sqs import SQSBatchMessage, SQSMessage, SQSQueue
from bbws.shared.sqs.client import Failure
from bbws.shared.sqs.limits import MAX_VISIBILITY_S
from bbws.shared.sqs.memory import MemoryService
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, started
from tests.support.waiting import eventually

LEASE_S = 40
QUEUE = SQSQueue("q", visibility_timeout=LEASE_S)
HOUR_S = 3600


@dataclass
class Extension:
    """One call of ChangeMessageVisibilityBatch, and how long after the start it came."""

    after_s: float
    seconds: list[int]


class Extensions(MemoryService):
    """Notes every change of visibility; the first ones fail as `faults` says."""

    def __init__(self, *faults: Exception | Failure) -> None:
        super().__init__(now)
        self.declare(QUEUE)
        self.calls: list[Extension] = []
        self._faults = list(faults)
        self._began = now()

    async def receive(self, queue_url: str, *, wait_s: int, **options: Any) -> list[dict[str, Any]]:
        received = await super().receive(queue_url, wait_s=wait_s, **options)
        if not received:
            await asyncio.sleep(1)
        return received

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        self.calls.append(Extension(now() - self._began, [seconds for _, seconds in entries]))
        if not self._faults:
            return await super().change_visibility_batch(queue_url, entries)
        fault = self._faults.pop(0)
        if isinstance(fault, Exception):
            raise fault
        return [fault]


def receive_counts(service: MemoryService) -> list[int]:
    return [stored.receive_count for stored in service._queue("q").messages]


@virtual_clock
async def test_a_message_is_extended_at_half_of_its_visibility_timeout() -> None:
    """Half of it is left when an extension fails; more calls than that would cost requests."""
    service = Extensions()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", max_workers=2, wait_time=20)
    async def handle(number: int) -> None:
        await asyncio.sleep(HOUR_S)

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(4.5 * LEASE_S)
        assert receive_counts(service) == [1]
        assert [round(call.after_s / LEASE_S, 1) for call in service.calls] == [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5][:8]
        assert {seconds for call in service.calls for seconds in call.seconds} == {LEASE_S}


@virtual_clock
async def test_messages_that_are_due_soon_are_extended_together() -> None:
    """One call for all instead of one for each: SQS bills calls."""
    service = Extensions()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", max_workers=2, wait_time=20)
    async def handle(number: int) -> None:
        await asyncio.sleep(HOUR_S)

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(LEASE_S / 5)
        await broker.publish(2, "q")
        await asyncio.sleep(5 * LEASE_S)
        assert {len(call.seconds) for call in service.calls} == {2}


@pytest.mark.parametrize(
    "fault", [OSError("no route"), Failure(0, "InternalError", "try again", sender_fault=False)], ids=["call", "entry"]
)
@virtual_clock
async def test_a_failed_extension_is_repeated_in_time(fault: Exception | Failure) -> None:
    """One failed call must not give messages in work to others."""
    service = Extensions(fault, fault)
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", max_workers=2, wait_time=20)
    async def handle(number: int) -> None:
        await asyncio.sleep(HOUR_S)

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(3 * LEASE_S)
        assert receive_counts(service) == [1]
        assert len(service.calls) >= 6


@virtual_clock
async def test_no_extension_reaches_beyond_twelve_hours(caplog: pytest.LogCaptureFixture) -> None:
    """SQS refuses more, counted from the receive; who reads the log knows why the message comes again."""
    service = Extensions()
    broker = BrokerOnMemory(service, graceful_timeout=0.1, logger=logging.getLogger("heartbeat"))

    @broker.subscriber(SQSQueue("q"), visibility_timeout=HOUR_S, wait_time=20)
    async def handle(number: int) -> None:
        await asyncio.sleep(20 * HOUR_S)

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(19 * HOUR_S)
        ends = [call.after_s + seconds for call in service.calls for seconds in call.seconds]
        assert MAX_VISIBILITY_S - 60 < max(ends) <= MAX_VISIBILITY_S + 1
        assert max(call.after_s for call in service.calls) < MAX_VISIBILITY_S
    assert [r.getMessage() for r in caplog.records if "twelve hours" in r.getMessage()]


@virtual_clock
async def test_a_subscribers_own_visibility_timeout_is_the_one_that_is_extended() -> None:
    """The queue's may be far longer: at half of that the message would long be in other hands."""
    service = Extensions()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", visibility_timeout=LEASE_S // 10, max_workers=2, wait_time=20)
    async def handle(number: int) -> None:
        await asyncio.sleep(HOUR_S)

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(2 * LEASE_S)
        assert receive_counts(service) == [1]
        assert service.calls[0].seconds == [LEASE_S // 10]


@pytest.mark.parametrize("seconds", [LEASE_S // 8, 10 * LEASE_S])
@virtual_clock
async def test_the_heartbeat_goes_on_from_what_a_handler_set(seconds: int) -> None:
    """Shorter than the lease, its own extension must not let the message lapse; longer, it needs no other for long."""
    service = Extensions()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", max_workers=2, wait_time=20)
    async def handle(number: int, message: SQSMessage) -> None:
        await message.extend(seconds)
        await asyncio.sleep(HOUR_S)

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(12 * LEASE_S)
        assert receive_counts(service) == [1]
        own, first = service.calls[:2]
        assert own.seconds == [seconds]
        assert first.after_s - own.after_s < seconds
        assert first.after_s - own.after_s >= min(seconds - LEASE_S, LEASE_S) or seconds < LEASE_S


@virtual_clock
async def test_an_extension_beyond_twelve_hours_is_cut() -> None:
    """A handler need not know the limit, nor a back-off."""
    service, tries = Extensions(), list[int]()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", wait_time=20)
    async def handle(number: int, message: SQSMessage) -> None:
        tries.append(number)
        await asyncio.sleep(10)
        await message.extend(MAX_VISIBILITY_S + 100)
        await message.nack(delay=MAX_VISIBILITY_S + 100)

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: len(service.calls) == 2, within_s=60, what="both calls")
    for call in service.calls:
        assert MAX_VISIBILITY_S - 12 <= call.seconds[0] <= MAX_VISIBILITY_S - 10


@virtual_clock
async def test_a_return_waits_for_an_extension_under_way() -> None:
    """The other way round the extension would hide for a whole lease what was given back at once."""
    service = SlowExtensions()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", wait_time=20)
    async def handle(message: SQSMessage) -> None:
        if message.receive_count == 1:
            await service.extending.wait()
            await message.nack(delay=0)

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: not service.messages("q"), within_s=LEASE_S, what="the second attempt")
    assert service.order[:2] == [LEASE_S, 0]


class SlowExtensions(Extensions):
    """A call takes a second from when it leaves to when SQS has done it."""

    def __init__(self) -> None:
        super().__init__()
        self.extending = asyncio.Event()
        self.order: list[int] = []

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        self.extending.set()
        if entries[0][1]:
            await asyncio.sleep(1)
        self.order.append(entries[0][1])
        return await super().change_visibility_batch(queue_url, entries)


@virtual_clock
async def test_a_message_that_others_have_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """It may be handled twice: who looks for the reason finds it, and SQS is not asked again."""
    service = Extensions(Failure(0, "ReceiptHandleIsInvalid", "expired", sender_fault=True))
    broker = BrokerOnMemory(service, graceful_timeout=0.1, logger=logging.getLogger("heartbeat"))

    @broker.subscriber("q", wait_time=20)
    async def handle(number: int) -> None:
        await asyncio.sleep(HOUR_S)

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(5 * LEASE_S)
        assert len(service.calls) == 1
    assert [r for r in caplog.records if "is lost to this consumer" in r.getMessage() and "expired" in r.getMessage()]


@virtual_clock
async def test_a_batch_is_extended_whole() -> None:
    """Its handler needs longer for all of them."""
    service = Extensions()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", batch=True, wait_time=20)
    async def handle(numbers: list[int], batch: SQSBatchMessage) -> None:
        await batch.extend(HOUR_S)

    await broker.connect()
    await broker.publish_batch(1, 2, 3, queue="q")
    async with started(broker):
        await eventually(lambda: not service.messages("q"), what="all are done")
    assert [seconds for call in service.calls for seconds in call.seconds] == [HOUR_S] * 3
