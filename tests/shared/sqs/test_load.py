"""Several receives side by side under load, and work kept in store: never for long, never for nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from faststream.exceptions import SetupError

from bbws.shared.sqs import PauseSubscriber, SQSBroker
from bbws.shared.sqs.client import Failure
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.subscriber.poller import Load
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, started
from tests.support.waiting import eventually


@pytest.fixture
def has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop is not busy, however slow the machine is: helpers may join."""
    monkeypatch.setattr(Load, "is_high", lambda _: False)


class SlowService(MemoryService):
    """A receive takes as long as it takes in a network."""

    def __init__(self, takes_s: float) -> None:
        super().__init__(now)
        self.takes_s = takes_s
        self.at_once = 0
        self.most_at_once = 0
        self.receives: list[int] = []
        self.deletes = 0

    async def receive(self, queue_url: str, *, wait_s: int, **options: Any) -> list[dict[str, Any]]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.takes_s)
        answer = await super().receive(queue_url, wait_s=wait_s, **options)
        self.receives.append(len(answer))
        self.at_once -= 1
        return answer

    async def delete_batch(self, queue_url: str, receipt_handles: Sequence[str]) -> Sequence[Failure]:
        self.deletes += 1
        return await super().delete_batch(queue_url, receipt_handles)


async def filled(service: MemoryService, number: int) -> SQSBroker:
    broker = BrokerOnMemory(service)
    await broker.connect()
    await broker.publish_batch(*range(number), queue="load")
    return broker


async def drained(broker: SQSBroker, service: MemoryService) -> None:
    async with started(broker):
        await eventually(lambda: not service.messages("load"), what="the queue is empty")


@pytest.mark.parametrize(("pollers", "most"), [(1, 1), (3, 3), (None, 4)])
@pytest.mark.usefixtures("has_time")
@virtual_clock
async def test_pollers_receive_side_by_side_under_load(pollers: int | None, most: int) -> None:
    """One receive at a time brings ten messages per round trip: more workers than that would starve."""
    service = SlowService(takes_s=0.05)
    broker = await filled(service, 300)

    @broker.subscriber("load", max_workers=100, pollers=pollers, wait_time=1, prefetch=0)
    async def handle(number: int) -> None:
        await asyncio.sleep(0.05)

    await drained(broker, service)
    assert service.most_at_once == most


def test_a_fifo_queue_is_polled_by_one() -> None:
    """After a failure no other receive must bring what stands behind it."""
    assert SQSBroker().subscriber("orders.fifo").pollers == 1


@pytest.mark.parametrize("messages", [10, 19])
@pytest.mark.usefixtures("has_time")
@virtual_clock
async def test_a_burst_calls_for_no_help(messages: int) -> None:
    """A helper that finds nothing is a request for nothing, after every burst of the day."""
    service = SlowService(takes_s=0.02)
    broker = await filled(service, messages)

    @broker.subscriber("load", max_workers=100, wait_time=1)
    async def handle(number: int) -> None: ...

    await drained(broker, service)
    assert service.most_at_once == 1


@virtual_clock
async def test_helpers_leave_a_busy_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the event loop has no time for more, more messages only take memory, and others could have them."""
    monkeypatch.setattr(Load, "is_high", lambda _: True)
    service = SlowService(takes_s=0.02)
    broker = await filled(service, 100)

    @broker.subscriber("load", max_workers=100, wait_time=1)
    async def handle(number: int) -> None: ...

    await drained(broker, service)
    assert service.most_at_once == 1


def test_load_is_what_was_computed_of_late() -> None:
    """Not what was idle an hour ago, and not the last millisecond."""
    now, computed = 0.0, 0.0
    load = Load(lambda: now, lambda: computed)
    now, computed = 3600.0, 1.0
    assert not load.is_high()
    now, computed = 3600.001, 1.001
    assert not load.is_high()
    now, computed = 3600.1, 1.09
    assert load.is_high()
    now, computed = 3600.2, 1.1
    assert not load.is_high()


@pytest.mark.usefixtures("has_time")
@virtual_clock
async def test_a_full_queue_costs_a_fifth_of_a_request_per_message() -> None:
    """SQS bills requests: ten messages for each, in and out, with helpers too."""
    service = SlowService(takes_s=0.008)
    broker = await filled(service, 1000)

    @broker.subscriber("load", max_workers=100, wait_time=1)
    async def handle(number: int) -> None:
        await asyncio.sleep(0.02)

    await drained(broker, service)
    assert service.most_at_once == 4
    assert len(service.receives) + service.deletes <= 205


@pytest.mark.usefixtures("has_time")
@virtual_clock
async def test_an_empty_queue_is_polled_by_one() -> None:
    """Idle pollers are requests that AWS bills; after the load only one is left in the long poll."""
    service = SlowService(takes_s=0.02)
    broker = await filled(service, 60)

    @broker.subscriber("load", max_workers=50, wait_time=20)
    async def handle(number: int) -> None: ...

    async with started(broker):
        await eventually(lambda: not service.messages("load"), what="the load is over")
        # By then the helpers' last receives, of a second each, and those of who stays have ended.
        await asyncio.sleep(25)
        before = len(service.receives)
        await asyncio.sleep(600)
        assert 29 <= len(service.receives) - before <= 30
    assert service.most_at_once > 1


@virtual_clock
async def test_a_single_worker_receives_in_tens_when_its_handler_is_quick() -> None:
    """One request for one message is ten times what SQS need cost."""
    service = SlowService(takes_s=0)
    broker = await filled(service, 100)

    @broker.subscriber("load", max_workers=1, wait_time=1)
    async def handle(number: int) -> None: ...

    await drained(broker, service)
    assert len(service.receives) <= 14


@virtual_clock
async def test_no_more_is_kept_in_store_than_the_prefetch_allows() -> None:
    """What is held here nobody else can work on: a store of half a second, at 50 ms each, is ten messages."""
    service, most = SlowService(takes_s=0), 0
    broker = await filled(service, 60)

    @broker.subscriber("load", max_workers=1, wait_time=1, prefetch=0.5)
    async def handle(number: int) -> None:
        nonlocal most
        most = max(most, held(service))
        await asyncio.sleep(0.05)

    await drained(broker, service)
    # Of the store, the one in work, and deletes under way.
    assert 5 <= most <= 14


@pytest.mark.parametrize(
    ("body", "messages", "most"), [("small", 200, 110), ("x" * 400_000, 60, 20)], ids=["small", "large"]
)
@virtual_clock
async def test_the_store_is_small(body: str, messages: int, most: int) -> None:
    """Handlers that take no time could have any number in advance; the memory of their process has an end."""
    service, begun, go_on = SlowService(takes_s=0), 0, asyncio.Event()
    broker = BrokerOnMemory(service)

    @broker.subscriber("load", max_workers=1, wait_time=1, prefetch=10)
    async def handle(text: str) -> None:
        nonlocal begun
        begun += 1
        if begun == 30:
            await go_on.wait()

    await broker.connect()
    for _ in range(messages):
        await broker.publish(body, "load")
    async with started(broker):
        await eventually(lambda: begun == 30 and not service.at_once, what="the store is full")
        assert 10 <= held(service) <= most
        go_on.set()
        await eventually(lambda: not service.messages("load"), what="the queue is empty")


@virtual_clock
async def test_a_slow_handler_gets_nothing_in_store() -> None:
    """Where one message takes longer than the prefetch, each is received when its turn has come."""
    service, begun = SlowService(takes_s=0), list[int]()
    broker = await filled(service, 4)

    @broker.subscriber("load", max_workers=1, wait_time=0, prefetch=0.1)
    async def handle(number: int) -> None:
        begun.append(number)
        await asyncio.sleep(0.4)

    async with started(broker):
        await eventually(lambda: len(begun) == 2, what="the second is in work")
        assert held(service) == 1


@virtual_clock
async def test_the_store_goes_back_when_the_subscriber_pauses() -> None:
    """Nothing is hidden from others by a process that will not work on it, and no attempt is counted."""
    service, begun, go_on = SlowService(takes_s=0), list[int](), asyncio.Event()
    broker = await filled(service, 10)

    async def probe() -> bool:
        return False

    @broker.subscriber("load", max_workers=1, wait_time=0, visibility_timeout=600)
    async def handle(number: int) -> None:
        begun.append(number)
        if len(begun) == 5:
            await go_on.wait()
            raise PauseSubscriber(reason="out", probe=probe, delay=0)

    async with started(broker):
        await eventually(lambda: len(begun) == 5, what="the fifth is in work")
        await eventually(lambda: held(service) == 6, what="the rest is in store")
        go_on.set()
        await eventually(lambda: held(service) == 0, what="all are back")
        assert len(service.messages("load")) == 6


def held(service: MemoryService) -> int:
    """Messages that others do not see."""
    return sum(stored.visible_at > now() for stored in service._queue("load").messages)


@virtual_clock
async def test_what_waits_behind_a_stuck_handler_is_given_to_others() -> None:
    """A store filled in quick times must not hang behind one message that never ends."""
    service, begun, done = SlowService(takes_s=0), list[int](), list[int]()
    broker, other = await filled(service, 10), BrokerOnMemory(service)

    @broker.subscriber("load", max_workers=1, wait_time=0)
    async def handle(number: int) -> None:
        begun.append(number)
        if len(begun) == 3:
            await asyncio.sleep(600)

    @other.subscriber("load", max_workers=10, wait_time=0)
    async def handle_too(number: int) -> None:
        done.append(number)

    async with started(broker):
        await eventually(lambda: held(service) == 8, what="one is stuck, and the others wait behind it")
        async with started(other):
            await eventually(lambda: len(done) == 7, within_s=60, what="the others are done elsewhere")
    assert begun == [0, 1, 2]


def test_figures_out_of_range_are_refused() -> None:
    """Nobody holds messages for minutes by a slip of the keyboard."""
    for option in ({"pollers": 0}, {"prefetch": -1}, {"prefetch": 60}):
        with pytest.raises(SetupError):
            SQSBroker().subscriber("q", **option)  # type: ignore[arg-type]


@pytest.mark.usefixtures("has_time")
@virtual_clock
async def test_a_stop_lets_every_receive_end_and_gives_back_what_it_brings() -> None:
    """A receive that is cut off takes messages that nobody gets, a helper's no less."""
    service, begun = SlowService(takes_s=0.2), list[int]()
    broker = await filled(service, 200)

    @broker.subscriber("load", max_workers=100, wait_time=1)
    async def handle(number: int) -> None:
        begun.append(number)

    async with started(broker):
        await eventually(lambda: service.at_once > 1, what="helpers poll")
    assert service.at_once == 0
    left = service._queue("load").messages
    assert len(left) + len(begun) == 200
    assert all(stored.visible_at <= now() for stored in left)
