"""Who works on what: so many handlers at once, of each FIFO group one at a time and in order of arrival."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any

from ..limits import BATCH_ENTRIES
from ..message import ReceivedBatch, ReceivedMessage

# A mean over the last dozen or so: an answer that got slow shows soon, one slow message does not.
_WEIGHT = 0.15
# Enough to be busy until the next receives come, even where a handler takes next to no time.
_MOST_PREFETCHED = 100
_MOST_PREFETCHED_BYTES = 4 * 1024 * 1024
# What waits longer behind slow handlers is better off with another process.
_HOLD_S = 10.0
# Handlers go on while deletes are under way, but not for ever: without deletes everything comes twice.
_SETTLING = 2 * BATCH_ENTRIES

Handle = Callable[[ReceivedBatch], Coroutine[Any, Any, None]]


class Crew:
    """Starts what was received as soon as a place is free; `prefetch_s` is how much work may wait meanwhile.

    A place is free when the handler has ended, not only when SQS has confirmed the delete.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        places: int,
        receive: int,
        prefetch_s: float,
        is_ordered: bool,
        is_batched: bool,
        overdue: Callable[[Sequence[ReceivedMessage]], object],
    ) -> None:
        self._handle = handle
        self._places = places
        self._receive = receive
        self._prefetch_s = prefetch_s
        self._is_ordered = is_ordered
        self._is_batched = is_batched
        self._overdue = overdue
        self._waiting: list[ReceivedBatch] = []
        self._running: dict[ReceivedBatch, asyncio.Task[None]] = {}
        self._started: dict[ReceivedBatch, float] = {}
        self._closed_lanes: set[str] = set()
        self._mean_s: float | None = None
        self._mean_bytes = 1.0
        self._is_watching = False
        # What a handler sets in its context is none of the next one's business.
        self._context = copy_context()

    @property
    def tasks(self) -> dict[ReceivedBatch, "asyncio.Task[None]"]:
        """What is handled or being settled, and by which task."""
        return dict(self._running)

    def has_unsettled(self) -> bool:
        """Whether a message is here that nobody has settled yet."""
        # Those that came last are the least likely to be settled.
        return bool(self._waiting) or any(not raw.settled for batch in reversed(self._running) for raw in batch)

    def has(self, batch: ReceivedBatch | None) -> bool:
        """Whether it is handled or being settled."""
        return batch in self._running

    def room(self, asked: int) -> int:
        """How many messages one more receive may bring, while others have asked for `asked`."""
        free = self._places - len(self._started) - self._ready()
        if self._is_ordered or self._is_batched:
            # What comes is a lane or a batch, whatever its length: a free place takes all of it.
            return self._receive if free * self._receive > asked else 0
        ahead = self._ahead()
        room = free + ahead - asked
        # With work in store there is time to wait until a whole receive fits.
        return min(room, self._receive) if room >= min(ahead, self._receive) else 0

    def _ready(self) -> int:
        if not self._is_ordered:
            return len(self._waiting)
        return sum(self._lane(batch) not in self._closed_lanes for batch in self._waiting)

    def _ahead(self) -> int:
        """Messages that the places get through in `prefetch_s`; none before it is known how long one takes."""
        if self._mean_s is None or not self._prefetch_s:
            return 0
        in_time = self._prefetch_s * self._places / max(self._mean_s, 1e-6)
        return int(min(in_time, _MOST_PREFETCHED, _MOST_PREFETCHED_BYTES / self._mean_bytes))

    def add(self, batches: Sequence[ReceivedBatch]) -> None:
        """Handle these, now or when their turn comes."""
        self._weigh(batches)
        self._waiting += batches
        self._start_what_can()
        self._watch()

    def _weigh(self, batches: Sequence[ReceivedBatch]) -> None:
        sizes = [len(raw["Body"]) for batch in batches for raw in batch]
        if sizes:
            self._mean_bytes = max(sum(sizes) / len(sizes), 1)

    def advance(self, batch: ReceivedBatch) -> None:
        """The handler is through with this and all went well: the next may begin."""
        began = self._started.pop(batch, None)
        if began is None:
            return
        took_s = _now() - began
        self._mean_s = took_s if self._mean_s is None else self._mean_s + _WEIGHT * (took_s - self._mean_s)
        if self._is_ordered:
            self._closed_lanes.discard(self._lane(batch))
        self._start_what_can()

    def end(self, batch: ReceivedBatch) -> None:
        """Nothing is left to do for this."""
        self._running.pop(batch, None)
        self.advance(batch)
        self._start_what_can()

    def withdraw(self, lane_of: ReceivedBatch | None = None) -> list[ReceivedMessage]:
        """What waits, in order, and no longer does: all, or what stands behind a message in its group."""
        lane = None if lane_of is None else self._lane(lane_of)
        return self._take(lambda batch: lane in {None, self._lane(batch)})

    def _take(self, which: Callable[[ReceivedBatch], bool]) -> list[ReceivedMessage]:
        taken = [which(batch) for batch in self._waiting]
        waiting = self._waiting
        self._waiting = [batch for batch, is_taken in zip(waiting, taken, strict=True) if not is_taken]
        return [raw for batch, is_taken in zip(waiting, taken, strict=True) if is_taken for raw in batch]

    def _watch(self) -> None:
        # One timer for all: one for each message would keep every message of the last seconds in memory.
        if self._waiting and not self._is_watching and not self._is_ordered:
            self._is_watching = True
            asyncio.get_running_loop().call_later(_HOLD_S / 2, self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        self._is_watching = False
        since = _now() - _HOLD_S
        if late := self._take(lambda batch: batch[0].received_at < since):
            self._overdue(late)
        self._watch()

    def _start_what_can(self) -> None:
        while self._waiting and self._has_place() and (batch := self._next()) is not None:
            self._started[batch] = _now()
            self._running[batch] = asyncio.create_task(self._handle(batch), context=self._context.copy())

    def _has_place(self) -> bool:
        return len(self._started) < self._places and len(self._running) < self._places + _SETTLING

    def _next(self) -> ReceivedBatch | None:
        """No longer waiting; of a group that nothing is handled of."""
        if not self._is_ordered:
            return self._waiting.pop(0)
        for index, batch in enumerate(self._waiting):
            if (lane := self._lane(batch)) not in self._closed_lanes:
                self._closed_lanes.add(lane)
                return self._waiting.pop(index)
        return None

    def _lane(self, batch: ReceivedBatch) -> str:
        """The group. Of a standard queue nothing waits for anything: group ids are for fairness there."""
        return (batch[0].system("MessageGroupId") or "") if self._is_ordered else ""


def _now() -> float:
    return asyncio.get_running_loop().time()
