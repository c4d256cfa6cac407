"""Runs up to `max_workers` handlers at once; of each FIFO group one at a time, in order of arrival."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from itertools import takewhile
from typing import Any

from ..limits import MAX_BATCH_ENTRIES
from ..message import ReceivedBatch, ReceivedMessage
from .groups import Lanes
from .pausing import Pausing
from .prefetching import Prefetch
from .waiting import Line

# What waits longer behind slow handlers goes back: another process may be free.
_MAX_WAIT_S = 10.0
# Deletes under way, before handlers wait for them: where no delete succeeds, every message handled comes again.
_MAX_UNCONFIRMED = 2 * MAX_BATCH_ENTRIES
# Messages of a FIFO queue that may wait here, behind others of their group or for another attempt.
_MAX_WAITING = 100

Handle = Callable[[ReceivedBatch], Coroutine[Any, Any, None]]


class WorkerPool:
    """Starts a handler for each batch as soon as a slot is free and, of FIFO queues, its group and a pause allow.

    A slot is free when its handler has ended, before SQS has confirmed the delete. `overdue` gets what waited too long.
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
        pausing: Pausing,
        overdue: Callable[[Sequence[ReceivedMessage]], object],
    ) -> None:
        self._handle = handle
        self._slots = slots
        self._most_running = slots + _MAX_UNCONFIRMED
        self._receive_size = receive_size
        self._prefetch = Prefetch(prefetch_s)
        self._is_batched = is_batched
        self._pausing = pausing
        self._overdue = overdue
        self._lanes = Lanes() if is_ordered else None
        self._line = Line()
        self._waiting = self._lanes if self._lanes is not None else self._line
        self._running: dict[ReceivedBatch, asyncio.Task[None]] = {}
        self._started: dict[ReceivedBatch, float] = {}
        self._cut_off: set[asyncio.Task[Any]] = set()
        self._is_watching = False
        self._kept_timer: asyncio.TimerHandle | None = None
        # What a handler sets in its context is none of the next one's business.
        self._context = copy_context()

    def start(self, set_context: Callable[[], object]) -> None:
        """Before anything is added; handlers find in their contexts what this sets."""
        self._loop = asyncio.get_running_loop()
        self._context.run(set_context)

    @property
    def tasks(self) -> dict[ReceivedBatch, "asyncio.Task[None]"]:
        """What is handled or being settled, and by which task."""
        return dict(self._running)

    def has_unsettled(self) -> bool:
        """Whether a message is here that nobody has settled yet."""
        if len(self._waiting):
            return True
        # Those that came last are the least likely to be settled.
        for batch in reversed(self._running):
            for raw in batch:
                if raw.is_open:
                    return True
        return False

    def has(self, batch: ReceivedBatch | None) -> bool:
        """Whether it is handled or being settled."""
        return batch in self._running

    def room(self, asked: int) -> int:
        """How many messages one more receive may bring, while others have asked for `asked`."""
        now = self._loop.time()
        free = self._slots - len(self._started) - self._waiting.ready(now)
        if self._lanes is not None and len(self._lanes) >= _MAX_WAITING:
            return 0
        if self._lanes is not None or self._is_batched:
            # What comes may all be one group or one batch, which needs one slot.
            return self._receive_size if free * self._receive_size > asked else 0
        ahead = self._prefetch.messages(self._slots - self._stuck(now))
        room = free + ahead - asked
        # While prefetched work is left there is time to wait until a whole receive fits.
        return min(room, self._receive_size) if room >= min(ahead, self._receive_size) else 0

    def _stuck(self, now: float) -> int:
        """Slots whose handlers take longer than anything may be received in advance: nobody knows when they end."""
        oldest = now - self._prefetch.seconds
        return sum(1 for _ in takewhile(lambda began: began < oldest, self._started.values()))

    def add(self, batches: Sequence[ReceivedBatch]) -> None:
        """Handle these, each as soon as it may begin."""
        self._prefetch.note_received(batches)
        self._waiting.add(batches)
        self.start_what_may()
        self._watch()

    def keep(self, batch: ReceivedBatch, kept: Sequence[ReceivedMessage]) -> None:
        """These of its messages are handled again, one by one, in front of their group."""
        assert self._lanes is not None
        for raw in kept:
            raw.wait()
        self._lanes.add_first([ReceivedBatch([raw]) for raw in kept])
        self.end(batch)

    def put_back(self, batch: ReceivedBatch) -> None:
        """It has not begun, and begins later in its place."""
        assert self._lanes is not None
        self._lanes.add_first([batch])
        self.end(batch)

    def free_slot(self, batch: ReceivedBatch) -> None:
        """The handler has ended well: the next may begin, of a FIFO queue also of the same group."""
        began = self._started.pop(batch, None)
        if began is None:
            return
        self._prefetch.note_handled(self._loop.time() - began)
        if self._lanes is not None:
            self._lanes.free(batch)
        self.start_what_may()

    def end(self, batch: ReceivedBatch) -> None:
        """It is settled, or kept for another attempt."""
        was_full = len(self._running) >= self._most_running
        self._running.pop(batch, None)
        if batch in self._started:
            self.free_slot(batch)
        elif was_full:
            self.start_what_may()

    def withdraw(self) -> list[ReceivedMessage]:
        """Take out and return what waits, in order."""
        return self._waiting.take_all()

    def withdraw_but(self, stays: Callable[[ReceivedMessage], bool]) -> list[ReceivedMessage]:
        """As `withdraw`, without FIFO groups of which this is true of each message."""
        return self._line.take_all() if self._lanes is None else self._lanes.take_all(stays)

    def withdraw_group_of(self, batch: ReceivedBatch) -> list[ReceivedMessage]:
        """Take out and return what waits in the FIFO group of this batch, in order."""
        return self._lanes.take_group_of(batch) if self._lanes is not None else []

    def cut_off(self) -> dict[ReceivedBatch, "asyncio.Task[None]"]:
        """Cancel every handler, but none whose message is being settled; returns all that run."""
        for batch, task in self._running.items():
            if not any(raw.is_ending for raw in batch):
                self._cut_off.add(task)
                task.cancel()
        return self.tasks

    def is_cut_off(self) -> bool:
        """Whether it was we who cancelled the task that asks."""
        return asyncio.current_task() in self._cut_off

    def start_what_may(self) -> None:
        """Start handlers until slots or messages run out."""
        if not len(self._waiting):
            return
        started, running = self._started, self._running
        while len(started) < self._slots and len(running) < self._most_running:
            now = self._loop.time()
            batch = self._line.next(now) if self._lanes is None else self._next_in_order(self._lanes, now)
            if batch is None:
                break
            started[batch] = now
            running[batch] = self._loop.create_task(self._handle(batch), context=self._context.copy())
        if self._lanes is not None:
            self._wake_for_kept(self._lanes)

    def _next_in_order(self, lanes: Lanes, now: float) -> ReceivedBatch | None:
        # What waits here during a pause keeps its place; then one is tried before the others.
        batch = lanes.next(now) if self._pausing.limited(1) else None
        if batch is not None:
            self._pausing.begin(batch[0])
        return batch

    def _wake_for_kept(self, lanes: Lanes) -> None:
        if self._kept_timer is not None:
            self._kept_timer.cancel()
            self._kept_timer = None
        if (at := lanes.next_at()) is not None and at > self._loop.time():
            self._kept_timer = self._loop.call_at(at, self.start_what_may)

    def _watch(self) -> None:
        # One timer for all: a timer for each message would keep the messages of the last seconds in memory.
        if len(self._line) and not self._is_watching:
            self._is_watching = True
            self._loop.call_later(_MAX_WAIT_S / 2, self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        self._is_watching = False
        if late := self._line.take_older(self._loop.time() - _MAX_WAIT_S):
            self._overdue(late)
        self._watch()
