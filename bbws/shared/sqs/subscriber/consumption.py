"""The way of a message through a subscriber: intake, handling, ending."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

from ..broker.config import SQSBrokerConfig
from ..errors import PauseSubscriber, SettlementError
from ..message import ReceivedBatch, ReceivedMessage
from .config import SQSSubscriberConfig
from .fetching import Fetcher
from .groups import split
from .heartbeat import Heartbeat
from .pausing import Pausing
from .poller import Poller
from .resolved_queue import ResolvedQueue
from .settlement import Log, Settler
from .worker_pool import WorkerPool

# How long a cancelled handler may go on before its message is given back all the same.
_CUT_OFF_S = 5

Consume = Callable[[ReceivedMessage], Awaitable[Any]]
"""Calls the handler; ReceivedMessage stands for a batch too, as FastStream passes on what it gets."""


class Consumption:
    """Wires the parts, each of which does its own.

    The poller receives as much as pool and pause have room for, the pool runs handlers, the settler ends messages.
    """

    def __init__(
        self,
        options: SQSSubscriberConfig,
        outer: SQSBrokerConfig,
        *,
        consume: Consume,
        is_manual: bool,
        handler: Callable[[], str],
        log: Log,
    ) -> None:
        self._options = options
        self._outer = outer
        self._consume = consume
        self._is_manual = is_manual
        self._is_ordered = options.queue.fifo
        self._log = log
        self.is_stopping = False
        self.queue = ResolvedQueue(options.queue, outer)
        self._heartbeat = Heartbeat(self.queue.change_visibility, log=partial(log, logging.WARNING))
        self.pausing = Pausing(
            log=log,
            changed=self._changed,
            before_trial=lambda: self.settler.recall_one(),
            resumed=self._resumed,
        )
        self.pool = WorkerPool(
            self._handle,
            slots=options.max_workers,
            receive_size=options.batch_size,
            prefetch_s=options.prefetch,
            is_ordered=self._is_ordered,
            is_batched=options.batch,
            pausing=self.pausing,
            overdue=lambda late: self.fetcher.track(self.give_back(late)),
        )
        self.settler = Settler(
            self.queue,
            self._heartbeat,
            retry=options.retry,
            attempts=options.attempts,
            has_company=self.pool.has_unsettled,
            keeps=self._keeps,
            counts_receives=lambda: not (self._is_ordered and options.heartbeat and self.polling),
            is_running=lambda: self.pausing.is_running,
            is_stopping=lambda: self.is_stopping,
            handler=handler,
            log=log,
        )
        self.poller = Poller(
            self.queue,
            room=self._room,
            deliver=self._deliver,
            receive_size=options.batch_size,
            pollers=options.pollers,
            wait_time_s=options.wait_time,
            visibility_timeout_s=options.visibility_timeout,
            log=log,
        )
        self.fetcher = Fetcher(
            self.queue,
            visibility_timeout_s=options.visibility_timeout,
            received=self.received,
            release=self.settler.release,
            is_running=lambda: not self.is_stopping,
        )
        self.polling: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None

    def start(self, set_context: Callable[[], object]) -> None:
        """Receive and handle from now on, in contexts that this has set."""
        self._loop = asyncio.get_running_loop()
        self.pool.start(set_context)
        self.polling = asyncio.create_task(self.poller.run())
        self._beating = asyncio.create_task(self._heartbeat.run())

    def _changed(self) -> None:
        self.pool.start_what_may()
        self.poller.changed()

    def _resumed(self) -> None:
        self._changed()
        self.fetcher.track(self.settler.recall_all())

    # Intake

    def _room(self, asked: int) -> int:
        if asked and not self.pausing.is_running:
            return 0
        return self.pausing.limited(self.pool.room(asked))

    async def _deliver(self, messages: Sequence[dict[str, Any]], lease_s: float, received_at: float) -> None:
        received = self.received(messages, received_at)
        # It may have stopped or paused while the receive was under way; what is in order keeps its place in a pause.
        limited = len(received) if self._is_ordered else self.pausing.limited(len(received))
        admitted = 0 if self.is_stopping else limited
        for raw in received[:admitted]:
            if not self._is_ordered:
                self.pausing.begin(raw)
            if lease_s > 0:
                self._hold(raw, lease_s)
        self.pool.add(self.batches(received[:admitted]))
        if admitted < len(received):
            await self.give_back(received[admitted:])

    def _hold(self, raw: ReceivedMessage, lease_s: float) -> None:
        raw.leased_until = raw.received_at + lease_s
        if self._options.heartbeat:
            self._heartbeat.hold(raw, lease_s)

    def received(self, messages: Sequence[dict[str, Any]], received_at: float | None = None) -> list[ReceivedMessage]:
        """Messages as they were received then, or now."""
        at = asyncio.get_running_loop().time() if received_at is None else received_at
        return [ReceivedMessage(raw, queue=self.queue.name, settler=self.settler, received_at=at) for raw in messages]

    def batches(self, received: Sequence[ReceivedMessage]) -> list[ReceivedBatch]:
        """What each call of the handler gets. A message that failed in a batch comes alone, so that it fails alone."""
        if not self._options.batch:
            return [ReceivedBatch([raw]) for raw in received]
        return split(received, is_ordered=self._is_ordered, failures=self.settler.may_have_failed)

    async def give_back(self, received: Sequence[ReceivedMessage]) -> None:
        """Untouched: for others, after the delay of a pause."""
        delay = 0 if self.is_stopping else self.pausing.return_after_s
        for raw in received:
            self.pausing.withdraw(raw)
        await asyncio.gather(*(self.settler.release(raw, delay) for raw in received))

    # Handling

    async def _handle(self, batch: ReceivedBatch) -> None:
        if not self._may_begin(batch):
            await self._do_not_begin(batch)
            return
        for raw in batch:
            raw.begin()
        try:
            await self._consume(self.as_consumed(batch))
        except asyncio.CancelledError as cancelled:
            for raw in batch:
                raw.failure = raw.failure or cancelled
        finally:
            if not batch[0].is_being_deleted:
                await self._settle_and_end(batch)

    def _may_begin(self, batch: ReceivedBatch) -> bool:
        """Since the receive the subscriber may have stopped or paused, or others may have got what waited here."""
        if self.pausing.paused or (self.is_stopping and not all(map(self._is_now_or_never, batch))):
            return False
        now = self._loop.time()
        if len(batch) == 1:
            return batch[0].is_waiting and batch[0].is_ours(now)
        return all(raw.is_waiting and raw.is_ours(now) for raw in batch)

    def _is_now_or_never(self, raw: ReceivedMessage) -> bool:
        """Whether giving it back would bury it: its order does not let a copy take its place."""
        return self._is_ordered and self.settler.is_last(raw)

    async def _do_not_begin(self, batch: ReceivedBatch) -> None:
        now = self._loop.time()
        if self._is_ordered and not self.is_stopping and all(raw.is_waiting and raw.is_ours(now) for raw in batch):
            self.pool.put_back(batch)
            return
        await self.give_back([raw for raw in batch if raw.is_waiting])
        await self._end(batch)

    def as_consumed(self, batch: ReceivedBatch) -> ReceivedMessage:
        """What FastStream gets: a batch goes to the parser for batches."""
        return cast("ReceivedMessage", batch) if self._options.batch else batch[0]

    def on_handled(self, consumed: ReceivedMessage | ReceivedBatch, failure: BaseException | None) -> None:
        """A pause begins here, before the message is settled: nothing may start meanwhile."""
        batch = consumed if isinstance(consumed, ReceivedBatch) else consumed.batch or ReceivedBatch([consumed])
        if failure is None:
            for raw in batch:
                if not self._goes_well(raw):
                    return
            self.pool.free_slot(batch)
            self.poller.changed()
            return
        for raw in batch:
            raw.failure = failure
        if isinstance(failure, PauseSubscriber):
            self.pausing.pause(failure)
            if not self._is_ordered:
                self.fetcher.track(self.give_back(self.pool.withdraw()))

    def _goes_well(self, raw: ReceivedMessage) -> bool:
        """Deleted by the handler, or about to be by the policy."""
        return raw.is_gone or (not self._is_manual and raw.goes_well)

    def is_cut_off(self) -> bool:
        """Whether the handler that asks was cancelled by our stop; any other cancellation is a failure like others."""
        return self.pool.is_cut_off()

    # Ending

    def delete_soon(self, raw: ReceivedMessage) -> bool:
        """Begin to delete it, and let nobody wait; False where that cannot be."""
        # The next of its FIFO group waits until it is known how this one ended.
        if self._is_ordered or not self.pool.has(raw.batch):
            return False
        return self.settler.ack_soon(raw, self._deleted)

    def _deleted(self, raw: ReceivedMessage, error: SettlementError | None) -> None:
        if error is not None:
            self._log(logging.CRITICAL, repr(error), raw)
        if raw.batch is not None:
            self._leave(raw.batch)

    async def _settle_and_end(self, batch: ReceivedBatch) -> None:
        try:
            await self.settle_leftovers(batch)
        except SettlementError as error:
            self._log(logging.WARNING, str(error), batch[0])
        finally:
            await self._end(batch)

    async def settle_leftovers(self, batch: ReceivedBatch) -> None:
        """What FastStream did not settle: cut off, manual, or so broken that not even the fallback parser read it."""
        # A task for each message that went well would cost as much as its handler.
        if failed := [raw for raw in batch if raw.failure is not None and raw.is_open and not raw.is_kept]:
            await asyncio.gather(*(self._settle_leftover(raw) for raw in failed))

    async def _settle_leftover(self, raw: ReceivedMessage) -> None:
        if isinstance(raw.failure, asyncio.CancelledError) and self.is_stopping:
            await self.settler.release(raw, stops=True)
        elif isinstance(raw.failure, PauseSubscriber):
            await self.settler.nack(raw, raw.failure.delay)
        elif not self._is_manual:
            await self.settler.nack(raw)

    async def _end(self, batch: ReceivedBatch) -> None:
        kept = [raw for raw in batch if raw.is_kept]
        for raw in batch:
            if not raw.is_kept:
                await self._heartbeat.drop(raw)
        if self._is_ordered and not all(raw.is_gone or raw.is_kept for raw in batch):
            # It comes again, and those behind it in its group must come after it.
            await self.give_back([*kept, *self.pool.withdraw_group_of(batch)])
        elif kept:
            self.pool.keep(batch, kept)
        self._leave(batch)

    def _keeps(self, raw: ReceivedMessage) -> bool:
        """Whether it can stay here for another attempt: its order, then, costs no receive."""
        return self._is_ordered and self._options.heartbeat and not self.is_stopping and self.pool.has(raw.batch)

    def _leave(self, batch: ReceivedBatch) -> None:
        self.pool.end(batch)
        for raw in batch:
            self.pausing.end(raw)
        self.poller.changed()

    # Stop

    async def stop(self) -> None:
        """No message is held any more: each is done, or visible to others again."""
        self.is_stopping = True
        self.poller.stop()
        await self._finish_handlers()
        if self.polling is not None:
            await self.polling
        await self.fetcher.finish()
        await self.settler.drain()
        await self.pausing.close()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        self.polling = self._beating = None

    async def _finish_handlers(self) -> None:
        await self.give_back(self.pool.withdraw_but(self._is_now_or_never))
        until = asyncio.get_running_loop().time() + (self._outer.graceful_timeout or 0)
        while (running := self.pool.tasks) and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(running.values(), timeout=left)
        await self.give_back(self.pool.withdraw())
        cut_off = self.pool.cut_off()
        if cut_off:
            await asyncio.wait(cut_off.values(), timeout=_CUT_OFF_S)
        # A handler in a thread cannot be cancelled: its message goes back while it runs.
        await asyncio.gather(*(self.settler.release(raw, stops=True) for batch in cut_off for raw in batch))
