"""Who works on what: so many handlers at once, of each FIFO group one at a time and in order of arrival."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from ..limits import BATCH_ENTRIES
from ..message import ReceivedBatch, ReceivedMessage

# A mean over the last dozen or so: an answer that got slow shows soon, one slow message does not.
_WEIGHT = 0.15
_MOST_PREFETCHED = 500
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
        overdue: Callable[[ReceivedBatch], object],
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

    @property
    def tasks(self) -> dict[ReceivedBatch, "asyncio.Task[None]"]:
        """What is handled or being settled, and by which task."""
        return dict(self._running)

    def held(self) -> Iterator[ReceivedMessage]:
        """Every message that is here: waiting, handled, or being settled."""
        for batch in (*self._running, *self._waiting):
            yield from batch

    def room(self, asked: int) -> int:
        """How many messages one more receive may bring, while others have asked for `asked`."""
        ready = sum(self._lane(batch) not in self._closed_lanes for batch in self._waiting)
        free = self._places - len(self._started) - ready
        if self._is_ordered or self._is_batched:
            # What comes is a lane or a batch, whatever its length: a free place takes all of it.
            return self._receive if free * self._receive > asked else 0
        ahead = self._ahead()
        room = free + ahead - asked
        # With work in store there is time to wait until a whole receive fits.
        return min(room, self._receive) if room >= min(ahead, self._receive) else 0

    def _ahead(self) -> int:
        """Messages that the places get through in `prefetch_s`; none before it is known how long one takes."""
        if self._mean_s is None or not self._prefetch_s:
            return 0
        return int(min(self._prefetch_s * self._places / max(self._mean_s, 1e-6), _MOST_PREFETCHED))

    def add(self, batches: Sequence[ReceivedBatch]) -> None:
        """Handle these, now or when their turn comes."""
        self._waiting += batches
        self._start_what_can()
        if not self._is_ordered:
            for batch in batches:
                if batch not in self._running:
                    asyncio.get_running_loop().call_later(_HOLD_S, self._expire, batch)

    def advance(self, batch: ReceivedBatch) -> None:
        """The handler is through with this and all went well: the next may begin."""
        began = self._started.pop(batch, None)
        if began is None:
            return
        took_s = _now() - began
        self._mean_s = took_s if self._mean_s is None else self._mean_s + _WEIGHT * (took_s - self._mean_s)
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
        taken = [batch for batch in self._waiting if lane is None or self._lane(batch) == lane]
        self._waiting = [batch for batch in self._waiting if batch not in taken]
        return [raw for batch in taken for raw in batch]

    def _expire(self, batch: ReceivedBatch) -> None:
        if batch in self._waiting:
            self._waiting.remove(batch)
            self._overdue(batch)

    def _start_what_can(self) -> None:
        while self._has_place() and (batch := self._next()) is not None:
            self._waiting.remove(batch)
            self._started[batch] = _now()
            if lane := self._lane(batch):
                self._closed_lanes.add(lane)
            self._running[batch] = asyncio.create_task(self._handle(batch))

    def _has_place(self) -> bool:
        return len(self._started) < self._places and len(self._running) < self._places + _SETTLING

    def _next(self) -> ReceivedBatch | None:
        return next((batch for batch in self._waiting if self._lane(batch) not in self._closed_lanes), None)

    def _lane(self, batch: ReceivedBatch) -> str:
        """Of a standard queue nothing waits for anything: group ids are for fairness there."""
        return (batch[0].system("MessageGroupId") or "") if self._is_ordered else ""


def _now() -> float:
    return asyncio.get_running_loop().time()
