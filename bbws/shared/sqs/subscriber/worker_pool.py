"""Runs up to `max_workers` handlers at once; of each FIFO group one at a time, in order of arrival."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any

from ..limits import MAX_BATCH_ENTRIES
from ..message import ReceivedBatch, ReceivedMessage

# Of the newest value in the moving average of handling times: a lasting change shows soon, one slow message hardly.
_WEIGHT = 0.15
# Enough work until the next receive returns, even where a handler takes next to no time.
_MAX_PREFETCHED = 100
_MAX_PREFETCHED_BYTES = 4 * 1024 * 1024
# What waits longer behind slow handlers goes back: another process may be free.
_MAX_WAIT_S = 10.0
# Deletes under way, before handlers wait for them: where no delete succeeds, every message handled comes again.
_MAX_UNCONFIRMED = 2 * MAX_BATCH_ENTRIES

Handle = Callable[[ReceivedBatch], Coroutine[Any, Any, None]]


class WorkerPool:
    """Starts a handler for each batch received as soon as a slot is free; `prefetch_s` is how much work may wait.

    A slot is free when its handler has ended, before SQS has confirmed the delete.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        slots: int,
        receive_size: int,
        prefetch_s: float,
        is_ordered: bool,
        is_batched: bool,
        overdue: Callable[[Sequence[ReceivedMessage]], object],
    ) -> None:
        self._handle = handle
        self._slots = slots
        self._receive_size = receive_size
        self._prefetch_s = prefetch_s
        self._is_ordered = is_ordered
        self._is_batched = is_batched
        self._overdue = overdue
        self._waiting: list[ReceivedBatch] = []
        self._running: dict[ReceivedBatch, asyncio.Task[None]] = {}
        self._started: dict[ReceivedBatch, float] = {}
        self._busy_groups: set[str] = set()
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
        free = self._slots - len(self._started) - self._ready()
        if self._is_ordered or self._is_batched:
            # What comes may all be one group or one batch, which needs one slot.
            return self._receive_size if free * self._receive_size > asked else 0
        ahead = self._ahead()
        room = free + ahead - asked
        # While prefetched work is left there is time to wait until a whole receive fits.
        return min(room, self._receive_size) if room >= min(ahead, self._receive_size) else 0

    def _ready(self) -> int:
        if not self._is_ordered:
            return len(self._waiting)
        return sum(self._group(batch) not in self._busy_groups for batch in self._waiting)

    def _ahead(self) -> int:
        """Messages that all slots handle in `prefetch_s`; 0 before the first has been timed."""
        if self._mean_s is None or not self._prefetch_s:
            return 0
        in_time = self._prefetch_s * self._slots / max(self._mean_s, 1e-6)
        return int(min(in_time, _MAX_PREFETCHED, _MAX_PREFETCHED_BYTES / self._mean_bytes))

    def add(self, batches: Sequence[ReceivedBatch]) -> None:
        """Handle these, each as soon as it may begin."""
        self._note_sizes(batches)
        self._waiting += batches
        self._start_what_can()
        self._watch()

    def _note_sizes(self, batches: Sequence[ReceivedBatch]) -> None:
        sizes = [len(raw["Body"]) for batch in batches for raw in batch]
        if sizes:
            self._mean_bytes = max(sum(sizes) / len(sizes), 1)

    def free_slot(self, batch: ReceivedBatch) -> None:
        """The handler has ended well: the next may begin, of a FIFO queue also of the same group."""
        began = self._started.pop(batch, None)
        if began is None:
            return
        took_s = _now() - began
        self._mean_s = took_s if self._mean_s is None else self._mean_s + _WEIGHT * (took_s - self._mean_s)
        if self._is_ordered:
            self._busy_groups.discard(self._group(batch))
        self._start_what_can()

    def end(self, batch: ReceivedBatch) -> None:
        """It is settled: deleted, or given back."""
        self._running.pop(batch, None)
        self.free_slot(batch)
        self._start_what_can()

    def withdraw(self, behind: ReceivedBatch | None = None) -> list[ReceivedMessage]:
        """Take out and return what waits, in order: all of it, or what is of the same group as `behind`."""
        group = None if behind is None else self._group(behind)
        return self._take(lambda batch: group in {None, self._group(batch)})

    def _take(self, which: Callable[[ReceivedBatch], bool]) -> list[ReceivedMessage]:
        taken = [which(batch) for batch in self._waiting]
        waiting = self._waiting
        self._waiting = [batch for batch, is_taken in zip(waiting, taken, strict=True) if not is_taken]
        return [raw for batch, is_taken in zip(waiting, taken, strict=True) if is_taken for raw in batch]

    def _watch(self) -> None:
        # One timer for all: a timer for each message would keep the messages of the last seconds in memory.
        if self._waiting and not self._is_watching and not self._is_ordered:
            self._is_watching = True
            asyncio.get_running_loop().call_later(_MAX_WAIT_S / 2, self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        self._is_watching = False
        since = _now() - _MAX_WAIT_S
        if late := self._take(lambda batch: batch[0].received_at < since):
            self._overdue(late)
        self._watch()

    def _start_what_can(self) -> None:
        while self._waiting and self._has_slot() and (batch := self._next()) is not None:
            self._started[batch] = _now()
            self._running[batch] = asyncio.create_task(self._handle(batch), context=self._context.copy())

    def _has_slot(self) -> bool:
        return len(self._started) < self._slots and len(self._running) < self._slots + _MAX_UNCONFIRMED

    def _next(self) -> ReceivedBatch | None:
        """Take out the first that may begin; None where the group of each is busy."""
        if not self._is_ordered:
            return self._waiting.pop(0)
        for index, batch in enumerate(self._waiting):
            if (group := self._group(batch)) not in self._busy_groups:
                self._busy_groups.add(group)
                return self._waiting.pop(index)
        return None

    def _group(self, batch: ReceivedBatch) -> str:
        """The FIFO group; "" on standard queues, where group ids are for fairness and order nothing."""
        return (batch[0].system("MessageGroupId") or "") if self._is_ordered else ""


def _now() -> float:
    return asyncio.get_running_loop().time()
