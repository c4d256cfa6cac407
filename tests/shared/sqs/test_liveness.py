"""What must not bring a subscriber to a halt: helpers that find nothing, pauses that are over, odd exceptions."""

import asyncio
from collections.abc import Sequence

import pytest

from bbws.shared.sqs import Backoff, PauseSubscriber, SQSMessage
from bbws.shared.sqs.client import Failure
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.subscriber.poller import Load
from tests.shared.sqs.test_load import SlowService
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, started
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # Helpers come on a busy machine too.
    monkeypatch.setattr(Load, "is_high", lambda _: False)


async def well() -> None:
    """A probe that always succeeds."""


@virtual_clock
async def test_slots_that_a_helper_could_not_fill_are_filled_later() -> None:
    """The one poll that stays waited for a handler to end, with ten workers idle and messages in the queue."""
    service, begun, go_on = SlowService(takes_s=0.02), list[int](), asyncio.Event()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("load", max_workers=40, wait_time=1)
    async def handle(number: int) -> None:
        begun.append(number)
        await go_on.wait()

    await broker.connect()
    await broker.publish_batch(*range(30), queue="load")
    async with started(broker):
        await eventually(lambda: len(begun) == 30 and service.receives[-1] == 0, what="a helper finds nothing")
        await broker.publish(30, "load")
        await eventually(lambda: 30 in begun, what="the next begins beside those that last")
    assert service.most_at_once > 1


@virtual_clock
async def test_a_helper_that_outlasts_a_pause_does_not_end_the_receiving() -> None:
    """A trial waits for the helper's poll from before the pause to end; then it must come."""
    service, done, is_down = SlowService(takes_s=0.02), set[int](), True
    broker = BrokerOnMemory(service)

    async def probe() -> None:
        nonlocal is_down
        is_down = False

    @broker.subscriber("load", max_workers=100, wait_time=1)
    async def handle(number: int) -> None:
        if is_down and number == 21:
            await eventually(lambda: service.at_once > 1, what="a helper polls")
            raise PauseSubscriber(reason="out", probe=probe, delay=0)
        done.add(number)

    await broker.connect()
    await broker.publish_batch(*range(22), queue="load")
    async with started(broker):
        await eventually(lambda: len(done) == 22, what="all are done")


@virtual_clock
async def test_after_a_pause_nothing_is_given_back_with_its_delay() -> None:
    """What waits behind a slow handler is for others at once, however long an outage of last week was to last."""
    service, begun, go_on, is_down = MemoryService(now), list[int](), asyncio.Event(), True
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    async def probe() -> None:
        nonlocal is_down
        is_down = False

    @broker.subscriber("q", max_workers=1, wait_time=0)
    async def handle(number: int) -> None:
        if is_down:
            raise PauseSubscriber(reason="out", probe=probe, delay=600)
        begun.append(number)
        if number == 100:
            await go_on.wait()

    def is_visible() -> bool:
        stored = service._queue("q").messages
        return sum(one.visible_at <= now() for one in stored) == len(stored) - 1 == 3

    await broker.connect()
    async with started(broker):
        await broker.publish(0, "q")
        await eventually(lambda: begun, what="it goes on")
        await broker.publish_batch(*range(1, 6), queue="q")
        await eventually(lambda: len(begun) == 6, what="handlers are known to be quick")
        await broker.publish_batch(100, *range(6, 9), queue="q")
        await eventually(is_visible, within_s=16, what="all but the slow one are visible")


class SlowReturns(MemoryService):
    """What is given back for long is on its way until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__(now)
        self.go_on = asyncio.Event()

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        if any(seconds for _, seconds in entries):
            await self.go_on.wait()
        return await super().change_visibility_batch(queue_url, entries)


@virtual_clock
async def test_what_is_on_its_way_back_when_a_pause_ends_is_called_back_too() -> None:
    """The others are called back already: left alone, it would wait out the delay of an outage that is over."""
    service, done, paused = SlowReturns(), list[int](), False
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", max_workers=2, wait_time=0, heartbeat=False)
    async def handle(number: int) -> None:
        nonlocal paused
        if not paused:
            paused = True
            raise PauseSubscriber(reason="out", probe=well, delay=600)
        done.append(number)

    await broker.connect()
    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: paused, what="the pause")
        await broker.publish(2, "q")
        await eventually(lambda: len(service.messages("q")) == 1, what="the trial goes well and is deleted")
        service.go_on.set()
        await eventually(lambda: done == [2, 1], what="it comes again")


@virtual_clock
async def test_an_exception_of_any_kind_frees_its_worker() -> None:
    """One handler that raises what no one catches (pytest's outcomes, greenlets' timeouts) cost a worker for good."""
    service, begun = MemoryService(now), list[int]()
    broker = BrokerOnMemory(service)

    class OddError(BaseException): ...

    @broker.subscriber("q", max_workers=1, wait_time=0, retry=Backoff.immediate())
    async def handle(number: int) -> None:
        begun.append(number)
        if len(begun) == 1:
            raise OddError

    await broker.connect()
    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: begun == [1, 1], what="it comes again")
        await eventually(lambda: not service.messages("q"), what="it is deleted")


@virtual_clock
async def test_what_waited_longer_than_its_lease_is_not_handled() -> None:
    """Without a heartbeat others get what waits behind a slow handler: handled here too, all of it is done twice."""
    service, handled = MemoryService(now), list[tuple[int, int]]()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", max_workers=1, wait_time=0, visibility_timeout=1, heartbeat=False)
    async def handle(number: int, message: SQSMessage) -> None:
        handled.append((number, message.receive_count))
        if len(handled) == 5:
            await asyncio.sleep(1.5)

    await broker.connect()
    await broker.publish_batch(*range(20), queue="q")
    async with started(broker):
        await eventually(lambda: not service.messages("q"), what="all are done")
    numbers = [number for number, _ in handled]
    assert sorted(numbers) == sorted([*range(20), numbers[4]])
