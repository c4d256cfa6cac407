"""What is true of every message whatever happens, over generated schedules, with SQS's counting in memory.

Consumers fail, hang, pause, stop and start again; the network goes, leases are lost, the process stands still; several
share one queue, standard or FIFO. Then everything is well again and the queue runs empty.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from botocore.exceptions import ClientError
from faststream import BaseMiddleware
from faststream.exceptions import RejectMessage
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from bbws.shared.sqs import Backoff, PauseSubscriber, ReturnMessage, SQSQueue
from bbws.shared.sqs.client import Failure
from bbws.shared.sqs.dead_letters import REASON
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.message import SQSBatchMessage
from bbws.shared.sqs.outgoing import Outgoing
from tests.shared.sqs.virtual_clock import freeze, now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory
from tests.support.waiting import eventually

Kind = Literal["ok", "slow", "hangs", "fails once", "fails", "rejects", "pauses", "later", "cancelled"]
KINDS: Sequence[Kind] = ("ok", "ok", "ok", "slow", "hangs", "fails once", "fails", "rejects", "pauses", "later",
                         "cancelled")  # fmt: skip
Trouble = Literal["stop", "outage", "sends refused", "freeze", "lease lost", "dependency out"]
TROUBLES: Sequence[Trouble] = ("stop", "stop", "outage", "sends refused", "freeze", "lease lost", "dependency out")
TAKES_S: dict[str, float] = {"slow": 0.7, "hangs": 40.0}


@dataclass(frozen=True)
class Event:
    """Something happens `after_s` the last one, to this consumer, for so long."""

    after_s: float
    what: Trouble
    consumer: int
    lasts_s: float


@dataclass(frozen=True)
class Schedule:
    messages: Sequence[tuple[Kind, str]]
    events: Sequence[Event]
    workers: Sequence[int]
    limit: int
    attempts: int | None
    lease_s: int
    is_ordered: bool
    is_batched: bool
    quick: int

    @property
    def has_trouble(self) -> bool:
        """Whether leases may end that nobody gave back."""
        return any(event.what in {"outage", "sends refused", "freeze", "lease lost"} for event in self.events)


EVENTS = st.builds(
    Event,
    after_s=st.sampled_from([0.0, 0.05, 0.3, 1, 5, 12]),
    what=st.sampled_from(TROUBLES),
    consumer=st.integers(0, 2),
    lasts_s=st.sampled_from([0.1, 1, 4, 15, 50]),
)
SCHEDULES = st.builds(
    Schedule,
    messages=st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from("abc")), min_size=1, max_size=25),
    events=st.lists(EVENTS, max_size=8),
    workers=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    limit=st.sampled_from([1, 2, 3, 5, 20]),
    attempts=st.sampled_from([None, 1, 2, 3]),
    lease_s=st.sampled_from([3, 10, 30]),
    is_ordered=st.booleans(),
    is_batched=st.sampled_from([False, False, True]),
    quick=st.sampled_from([0, 0, 30]),
)


class Service(MemoryService):
    """SQS in memory, that can be out of reach, and that notes what it buries itself."""

    def __init__(self, queue: SQSQueue) -> None:
        super().__init__(now)
        self.declare(queue)
        self.is_out = False
        self.refuses_sends = False
        self.stolen: set[str] = set()
        self.troubled_at = -1.0
        self.buried_untroubled: list[str] = []
        self._queue_name = queue.name
        self._received_at: dict[str, float] = {}

    def _reach(self) -> None:
        if self.is_out:
            raise OSError("no route")

    def _redrive(self, queue: Any) -> None:
        before = list(queue.messages)
        super()._redrive(queue)
        for stored in before:
            if stored not in queue.messages and self._received_at.get(stored.handle, 0) > self.troubled_at:
                self.buried_untroubled.append(stored.body)

    async def receive(self, queue_url: str, **options: Any) -> list[dict[str, Any]]:
        self._reach()
        received = await super().receive(queue_url, **options)
        self._received_at.update((message["ReceiptHandle"], now()) for message in received)
        return received

    async def delete_batch(self, queue_url: str, receipt_handles: Sequence[str]) -> Sequence[Failure]:
        self._reach()
        return await super().delete_batch(queue_url, receipt_handles)

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        self._reach()
        return await super().change_visibility_batch(queue_url, entries)

    async def send(self, queue_url: str, message: Outgoing) -> str:
        self._reach()
        if self.refuses_sends:
            raise ClientError({"Error": {"Code": "KmsThrottled", "Message": "no"}}, "SendMessage")
        return await super().send(queue_url, message)

    async def queue_attributes(self, queue_url: str) -> dict[str, str]:
        self._reach()
        return await super().queue_attributes(queue_url)

    def holds(self, handle: str) -> bool:
        """Whether this receipt keeps its message from others now."""
        return any(each.handle == handle and each.visible_at > now() for each in self._queue(self._queue_name).messages)

    def lose_a_lease(self, number: int) -> None:
        held = [stored for stored in self._queue(self._queue_name).messages if stored.visible_at > now()]
        if held:
            stored = held[number % len(held)]
            self.stolen.add(stored.handle)
            stored.visible_at, stored.handle = now(), "lost"


class InHand(BaseMiddleware[Any, Any]):
    """Around each call of the handler, without anything between that could take time."""

    def __init__(self, msg: Any, *, context: Any, world: "World") -> None:
        super().__init__(msg, context=context)
        self.world = world

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        raws = msg.raw_message if isinstance(msg, SQSBatchMessage) else [msg.raw_message]
        numbers, handles = [int(raw["Body"]) for raw in raws], [raw.receipt_handle for raw in raws]
        return await self.world.handle(numbers, handles, lambda: call_next(msg))


class World:
    """Consumers, what they do, and what must not be."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        options = {"dead_letter": "q-dlq", "max_receive_count": schedule.limit, "visibility_timeout": schedule.lease_s}
        self.queue = SQSQueue("q", fifo=schedule.is_ordered, **options)  # type: ignore[arg-type]
        self.dead = "q-dlq.fifo" if schedule.is_ordered else "q-dlq"
        self.service = Service(self.queue)
        quick: list[Kind] = ["ok"] * schedule.quick
        self.kinds = [*quick, *(kind for kind, _ in schedule.messages)]
        self.groups = [*"abc" * (schedule.quick // 3), *(group for _, group in schedule.messages)]
        self.done: set[int] = set()
        self.tries: Counter[int] = Counter()
        self.in_hand: dict[int, list[str]] = defaultdict(list)
        self.faults: list[str] = []
        self.out_until = 0.0
        self.elsewhere: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.elsewhere.cancel()

    def consumer(self, workers: int) -> BrokerOnMemory:
        broker = BrokerOnMemory(self.service, graceful_timeout=0.5, middlewares=[partial(InHand, world=self)])

        @broker.subscriber(
            self.queue,
            max_workers=workers,
            batch=self.schedule.is_batched,
            attempts=self.schedule.attempts,
            wait_time=0,
            retry=Backoff.exponential(base=0.5, cap=5),
        )
        async def handle(body: Any) -> None:
            for number in body if self.schedule.is_batched else [body]:
                await self.work(number)

        return broker

    async def handle(self, numbers: Sequence[int], handles: Sequence[str], call: Callable[[], Awaitable[Any]]) -> Any:
        for number, handle in zip(numbers, handles, strict=True):
            self.check(number, handle)
            self.in_hand[number].append(handle)
        try:
            answer = await call()
            self.done.update(numbers)
            return answer
        finally:
            for number, handle in zip(numbers, handles, strict=True):
                self.in_hand[number].remove(handle)

    def check(self, number: int, handle: str) -> None:
        """Before anything is done with it."""
        self.tries[number] += 1
        # Who looks at the clock cannot know of a lease that SQS itself gave away.
        if not self.service.holds(handle) and handle not in self.service.stolen:
            self.faults.append(f"{number} begins without its lease")
        # After trouble there may be two messages: SQS gave one twice, or could not be told that a copy took its place.
        if self.in_hand[number] and not self.schedule.has_trouble:
            self.faults.append(f"{number} is in two hands")
        if self.schedule.is_ordered:
            ended = self.done | self.buried()
            ahead = [n for n in range(number) if self.groups[n] == self.groups[number] and n not in ended]
            if [n for n in ahead if not self.in_hand[n]]:
                self.faults.append(f"{number} overtakes {ahead}")

    async def work(self, number: int) -> None:
        kind, tries = self.kinds[number], self.tries[number]
        await asyncio.sleep(TAKES_S.get(kind, 0.01) if kind != "hangs" or tries == 1 else 0.01)
        match kind:
            case "fails":
                raise ValueError("never")
            case "fails once" if tries == 1:
                raise ValueError("once")
            case "rejects":
                raise RejectMessage(reason="bad")
            case "later" if tries < 4:
                raise ReturnMessage(delay=2)
            case "pauses" if now() < self.out_until:
                raise PauseSubscriber(reason="out", probe=self.probe, delay=3)
            case "cancelled" if tries == 1:
                await self.elsewhere

    async def probe(self) -> bool:
        return now() >= self.out_until

    def buried(self) -> set[int]:
        return {int(letter["Body"]) for letter in self.service.messages(self.dead)}

    async def run(self) -> None:
        consumers = [self.consumer(workers) for workers in self.schedule.workers]
        for number, group in enumerate(self.groups):
            options = {"group_id": group, "deduplication_id": str(number)} if self.schedule.is_ordered else {}
            self.service._store(self.queue.name, Outgoing(str(number), **options))
        for consumer in consumers:
            await consumer.start()
        restarts = []
        for happening in self.schedule.events:
            await asyncio.sleep(happening.after_s)
            restarts.append(asyncio.create_task(self.let_happen(happening, consumers)))
        await asyncio.gather(*restarts)
        self.service.is_out = self.service.refuses_sends = False
        try:
            await eventually(self.is_over, within_s=20_000, what="the queue runs empty")
        finally:
            for consumer in consumers:
                await consumer.stop()

    def is_over(self) -> bool:
        return not self.service.messages(self.queue.name)

    async def let_happen(self, happening: Event, consumers: Sequence[BrokerOnMemory]) -> None:
        match happening.what:
            case "stop":
                consumer = consumers[happening.consumer % len(consumers)]
                await consumer.stop()
                await asyncio.sleep(happening.lasts_s)
                await consumer.start()
            case "outage" | "sends refused":
                self.service.troubled_at = float("inf")
                self.service.is_out |= happening.what == "outage"
                self.service.refuses_sends = True
                await asyncio.sleep(happening.lasts_s)
                self.service.is_out = self.service.refuses_sends = False
                # What had its call refused may take until the end of its lease to come again.
                await asyncio.sleep(self.schedule.lease_s * 2)
                self.service.troubled_at = now()
            case "freeze":
                self.service.troubled_at = now() + happening.lasts_s + self.schedule.lease_s
                freeze(happening.lasts_s)
            case "lease lost":
                self.service.troubled_at = max(self.service.troubled_at, now())
                self.service.lose_a_lease(happening.consumer)
            case "dependency out":
                self.out_until = now() + happening.lasts_s

    def check_end(self) -> None:
        letters = self.service.messages(self.dead)
        for letter in letters:
            if REASON not in letter["MessageAttributes"] and not self.schedule.has_trouble:
                self.faults.append(f"{letter['Body']} is buried without a reason")
        if self.service.buried_untroubled:
            self.faults.append(f"SQS buried {self.service.buried_untroubled}, which we gave back")
        if missing := set(range(len(self.kinds))) - self.done - self.buried():
            self.faults.append(f"{missing} are lost")
        for number in self.buried() - self.done:
            self.check_attempts(number)

    def check_attempts(self, number: int) -> None:
        if self.schedule.has_trouble or self.kinds[number] == "rejects":
            return
        # Where a copy would break the order, a stop buries what is at its last delivery.
        may_end_early = self.schedule.is_ordered and any(each.what == "stop" for each in self.schedule.events)
        may_fail = self.schedule.is_batched or self.kinds[number] in {"fails", "fails once", "cancelled"}
        if not may_fail and not may_end_early:
            self.faults.append(f"{number} never failed and is buried")


def unlucky(what: Trouble, *, is_ordered: bool, limit: int) -> Schedule:
    """What chance seldom finds: copies are refused, just when some must be made."""
    return Schedule(
        messages=[("rejects", "a"), ("fails", "a"), ("hangs", "b")],
        events=[Event(0, what, 0, 15), Event(1, "stop", 0, 1)],
        workers=[3],
        limit=limit,
        attempts=2,
        lease_s=30,
        is_ordered=is_ordered,
        is_batched=False,
        quick=0,
    )


@example(schedule=unlucky("sends refused", is_ordered=False, limit=20))
@example(schedule=unlucky("outage", is_ordered=True, limit=3))
@given(schedule=SCHEDULES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@virtual_clock
async def test_whatever_happens(schedule: Schedule) -> None:
    """None buried by our giving back or without its reason, none in two hands, none overtaken, none lost."""
    world = World(schedule)
    await world.run()
    world.check_end()
    event(f"trouble: {schedule.has_trouble}, buried: {bool(world.buried())}")
    assert not world.faults, world.faults
