"""The subscriber: receives, runs one task per message, and ends every message it received."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, cast

from faststream import AckPolicy
from faststream.message import StreamMessage
from faststream.response import Response
from typing_extensions import override

from .._internal import (
    CallsCollection,
    PublisherProto,
    SubscriberSpecification,
    SubscriberUsecase,
    process_msg,
)
from ..broker.config import SQSBrokerConfig
from ..client import AWS_ERRORS
from ..errors import PauseSubscriber, SettlementError
from ..message import ReceivedBatch, ReceivedMessage, SQSMessage
from ..parser import SQSParser
from ..publisher.fake import ReplyPublisher
from .config import SQSSubscriberConfig
from .fetching import Fetcher
from .groups import FailingGroups, split
from .heartbeat import Heartbeat
from .pausing import Pausing
from .pipeline import Pipeline
from .poller import Poller
from .resolved_queue import ResolvedQueue
from .settlement import Settler
from .shortcut import shorten
from .worker_pool import WorkerPool

# How long a cancelled handler may go on before its message is given back all the same.
_CUT_OFF_S = 5


class SQSSubscriber(SubscriberUsecase[ReceivedMessage]):
    """`paused` tells whether it waits for a dependency instead of receiving."""

    _outer_config: SQSBrokerConfig

    def __init__(
        self,
        config: SQSSubscriberConfig,
        specification: SubscriberSpecification[Any, Any],
        calls: CallsCollection[ReceivedMessage],
    ) -> None:
        parser = SQSParser(config.unwrap_sns, lambda: self._outer_config.payloads)
        config.parser = parser.parse_batch if config.batch else parser.parse_message
        config.decoder = parser.decode_batch if config.batch else parser.decode_message
        super().__init__(config, specification, calls)
        self.queue = config.queue
        self._options = config
        self._log_context: dict[str, str] | None = None
        self._pipeline: Pipeline | None = None
        self._polling: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.prepare()

    def prepare(self) -> None:
        """As if never started: nothing known about the queue, not paused."""
        options = self._options
        self._log_context = None
        self._closing = None
        # A router's subscriber learns only now which broker it belongs to.
        self.ack_policy = options.ack_policy
        self._is_manual = self.ack_policy is AckPolicy.MANUAL
        self._resolved_queue = ResolvedQueue(options.queue, self._outer_config)
        self._heartbeat = Heartbeat(self._resolved_queue.change_visibility, log=partial(self._note, logging.WARNING))
        self._failing = FailingGroups()
        self._pool = WorkerPool(
            self._handle,
            slots=options.max_workers,
            receive_size=options.batch_size,
            prefetch_s=options.prefetch,
            is_ordered=options.queue.fifo,
            is_batched=options.batch,
            overdue=lambda late: self._fetcher.track(self._give_back(late)),
        )
        self._settler = Settler(
            self._resolved_queue,
            self._heartbeat,
            retry=options.retry,
            attempts=options.attempts,
            has_company=self._pool.has_unsettled,
            is_running=lambda: self._pausing.is_running,
            handler=lambda: ",".join(call.name for call in self.calls),
            log=self._note,
        )
        self._poller = Poller(
            self._resolved_queue,
            room=self._room,
            deliver=self._deliver,
            receive_size=options.batch_size,
            pollers=options.pollers,
            wait_time_s=options.wait_time,
            visibility_timeout_s=options.visibility_timeout,
            log=self._note,
        )
        self._fetcher = Fetcher(
            self._resolved_queue,
            visibility_timeout_s=options.visibility_timeout,
            received=self._received,
            release=self._settler.release,
            is_running=lambda: self.running,
        )
        self._pausing = Pausing(
            log=self._note,
            changed=self._poller.changed,
            before_trial=self._settler.recall_one,
            resumed=lambda: self._fetcher.track(self._settler.recall_all()),
        )

    @property
    def queue_name(self) -> str:
        """The queue's name under the prefixes of its routers."""
        return self._resolved_queue.name

    @property
    def prefix(self) -> str:
        """Of its routers."""
        return self._outer_config.prefix

    @property
    def max_workers(self) -> int:
        """Handlers that may run at the same time."""
        return self._options.max_workers

    @property
    def pollers(self) -> int:
        """Receives that may be under way at the same time."""
        return self._options.pollers

    @property
    def max_per_call(self) -> int:
        """Messages that one call of the handler gets, at most."""
        return self._options.batch_size if self._options.batch else 1

    @property
    def visibility_timeout(self) -> int | None:
        """Seconds that it asks for with each receive; None where it takes the queue's own."""
        return self._options.visibility_timeout

    @property
    def paused(self) -> bool:
        """Whether it receives nothing because a dependency is out."""
        return self._pausing.paused

    @property
    def alive(self) -> bool:
        """False when it should be receiving and its loop has ended."""
        return self._polling is None or not self._polling.done()

    @override
    async def start(self) -> None:
        if self._polling is not None:
            return
        self.prepare()
        await self._outer_config.declare((self.queue, self.prefix))
        await super().start()
        for middleware in self._outer_config.broker_middlewares:
            if watch := getattr(middleware, "watch_subscriber", None):
                watch(self)
        self._post_start()
        if self.calls and self._outer_config.polls:
            self._polling = asyncio.create_task(self._poller.run())
            self._beating = asyncio.create_task(self._heartbeat.run())

    @override
    def _build_fastdepends_model(self) -> None:
        super()._build_fastdepends_model()
        for call in self.calls:
            shorten(call, self._outer_config.fd_config)
        self._pipeline = None

    @override
    async def process_message(self, msg: ReceivedMessage) -> Response:
        if self._pipeline is None:
            self._pipeline = self._new_pipeline()
        return await self._pipeline.run(msg)

    def _new_pipeline(self) -> Pipeline:
        return Pipeline(
            self.calls,
            self._outer_config,
            subscriber=self,
            middlewares=self._broker_middlewares,
            ack_policy=self.ack_policy,
            fallback_parser=self._parser,
            log_context=self.get_log_context,
            reply_to=self._reply_publishers,
            on_handled=self._on_handled,
            delete_soon=self._delete_soon,
        )

    def _reply_publishers(self, message: StreamMessage[ReceivedMessage]) -> Sequence[PublisherProto[Any]]:
        return self._make_response_publisher(message) if message.reply_to and not self._options.no_reply else ()

    @override
    async def stop(self) -> None:
        """No message is held any more: each is done, or visible to others again.

        Takes up to the receive's `wait_time` or the broker's `graceful_timeout`, whichever is longer. Called from
        a handler (StopConsume) it returns at once, because what it would wait for is that handler.
        """
        self.running = False
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        if asyncio.current_task() not in self._pool.tasks.values():
            await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._poller.stop()
        await self._finish_handlers()
        if self._polling is not None:
            await self._polling
        await self._fetcher.finish()
        await self._settler.drain()
        await self._pausing.close()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
        self._polling = self._beating = None

    async def _finish_handlers(self) -> None:
        grace_s = self._outer_config.graceful_timeout
        await self._give_back(self._pool.withdraw())
        if (running := self._pool.tasks) and grace_s:
            await asyncio.wait(running.values(), timeout=grace_s)
        cut_off = self._pool.tasks
        for task in cut_off.values():
            task.cancel()
        if cut_off:
            await asyncio.wait(cut_off.values(), timeout=_CUT_OFF_S)
        # A handler in a thread cannot be cancelled: its message goes back while it runs.
        await asyncio.gather(*(self._settler.release(raw) for batch in cut_off for raw in batch))

    def _room(self, asked: int) -> int:
        if asked and not self._pausing.is_running:
            return 0
        # Each receive counts those behind a failed message once more: until that is through, one message at a time.
        largest = 1 if self._failing else self._options.batch_size
        return self._pausing.limited(min(largest, self._pool.room(asked)))

    async def _deliver(self, messages: Sequence[dict[str, Any]], lease_s: float) -> None:
        received = self._received(messages)
        # It may have paused while the receive was under way.
        admitted = self._pausing.limited(len(received)) if self.running else 0
        for raw in received[:admitted]:
            self._pausing.begin(raw)
            if lease_s > 0:
                self._hold(raw, lease_s)
        self._pool.add(self._batches(received[:admitted]))
        await self._give_back(received[admitted:])

    def _hold(self, raw: ReceivedMessage, lease_s: float) -> None:
        if self._options.heartbeat:
            self._heartbeat.hold(raw, lease_s)
        else:
            raw.held_until = raw.received_at + lease_s

    def _batches(self, received: Sequence[ReceivedMessage]) -> list[ReceivedBatch]:
        """What each call of the handler gets. A message that failed in a batch comes alone, so that it fails alone."""
        if not self._options.batch:
            return [ReceivedBatch([raw]) for raw in received]
        return split(received, is_ordered=self.queue.fifo, failures=self._settler.failures)

    async def process(self, messages: Sequence[dict[str, Any]]) -> list[Exception]:
        """Handle and settle what one receive brought here and now; what handlers raised is the answer."""
        errors: list[Exception] = []
        for batch in self._batches(self._received(messages)):
            if self.queue.fifo and errors:
                # Those behind a failure come after it.
                await self._give_back(batch)
                continue
            try:
                await self._process_batch(batch)
            except Exception as error:  # noqa: BLE001 - the others are handled all the same
                errors.append(error)
        return errors

    async def _process_batch(self, batch: ReceivedBatch) -> None:
        self._pausing.begin(batch[0])
        try:
            await self.process_message(self._as_consumed(batch))
        finally:
            await self._settle_leftovers(batch)
            self._pausing.end(batch[0])

    def _as_consumed(self, batch: ReceivedBatch) -> ReceivedMessage:
        # FastStream passes on what it gets: a batch goes to the parser for batches.
        return cast("ReceivedMessage", batch) if self._options.batch else batch[0]

    def _received(self, messages: Sequence[dict[str, Any]]) -> list[ReceivedMessage]:
        now, queue = asyncio.get_running_loop().time(), self.queue_name
        return [ReceivedMessage(raw, queue=queue, settler=self._settler, received_at=now) for raw in messages]

    async def _give_back(self, received: Sequence[ReceivedMessage]) -> None:
        delay = self._pausing.return_after_s if self.running else 0
        await asyncio.gather(*(self._settler.release(raw, delay) for raw in received))

    async def _handle(self, batch: ReceivedBatch) -> None:
        try:
            await self._consume_or_give_back(batch)
        except asyncio.CancelledError as cut_off:
            for raw in batch:
                raw.failure = cut_off
        finally:
            if not batch[0].leaving:
                await self._settle_and_end(batch)

    async def _settle_and_end(self, batch: ReceivedBatch) -> None:
        try:
            await self._settle_leftovers(batch)
        except SettlementError as error:
            self._note(logging.WARNING, str(error), batch[0])
        finally:
            await self._end(batch)

    async def _end(self, batch: ReceivedBatch) -> None:
        for raw in batch:
            await self._heartbeat.drop(raw)
        if self.queue.fifo:
            await self._end_in_order(batch)
        self._leave(batch)

    def _leave(self, batch: ReceivedBatch) -> None:
        self._pool.end(batch)
        for raw in batch:
            self._pausing.end(raw)
        self._poller.changed()

    async def _end_in_order(self, batch: ReceivedBatch) -> None:
        """What is not deleted comes again: those behind it in its group must come after it."""
        for raw in batch:
            self._failing.note(raw)
        if not all(raw.gone for raw in batch):
            await self._give_back(self._pool.withdraw(batch))

    async def _consume_or_give_back(self, batch: ReceivedBatch) -> None:
        # Since the receive the subscriber may have stopped or paused, or others may have got what waited here.
        now = asyncio.get_running_loop().time()
        for raw in batch:
            raw.lost |= raw.held_until < now
        is_lost = any(raw.lost for raw in batch)
        if not self.running or self.paused or is_lost:
            await self._give_back([raw for raw in batch if not raw.lost])
            return
        await self.consume(self._as_consumed(batch))

    async def _settle_leftovers(self, batch: ReceivedBatch) -> None:
        # A task for each message that went well would cost as much as its handler.
        if failed := [raw for raw in batch if raw.failure is not None]:
            await asyncio.gather(*(self._settle_leftover(raw) for raw in failed))

    async def _settle_leftover(self, raw: ReceivedMessage) -> None:
        """What FastStream did not settle: cut off, manual, or so broken that not even the fallback parser read it."""
        failure = raw.failure
        if isinstance(failure, asyncio.CancelledError):
            await self._settler.release(raw)
        elif isinstance(failure, PauseSubscriber):
            await self._settler.nack(raw, failure.delay)
        elif not self._is_manual and failure is not None:
            await self._settler.nack(raw)

    def _on_handled(self, consumed: ReceivedMessage | ReceivedBatch, failure: BaseException | None) -> None:
        """A pause begins here, before the message is settled: nothing may start meanwhile."""
        batch = consumed if isinstance(consumed, ReceivedBatch) else consumed.batch or ReceivedBatch([consumed])
        for raw in batch:
            raw.failure = failure
        if isinstance(failure, PauseSubscriber):
            self._pausing.pause(failure)
            self._fetcher.track(self._give_back(self._pool.withdraw()))
        elif failure is None and all(self._is_through(raw) for raw in batch):
            self._pool.free_slot(batch)
            self._poller.changed()

    def _delete_soon(self, raw: ReceivedMessage) -> bool:
        # The next of its FIFO group waits until it is known how this one ended.
        if self.queue.fifo or not self._pool.has(raw.batch):
            return False
        return self._settler.ack_soon(raw, partial(self._deleted, raw))

    def _deleted(self, raw: ReceivedMessage, error: SettlementError | None) -> None:
        if error is not None:
            self._note(logging.CRITICAL, repr(error), raw)
        if raw.batch is not None:
            self._leave(raw.batch)

    def _is_through(self, raw: ReceivedMessage) -> bool:
        """Deleted by the handler, or about to be by the policy."""
        return raw.away_until is None and (raw.settled or not self._is_manual)

    @override
    async def get_one(self, *, timeout: float = 5.0) -> SQSMessage | None:
        """The next message, or None after `timeout` seconds. The caller settles it; no heartbeat extends it."""
        self._refuse_with_handlers()
        raw = await self._fetcher.fetch_within(timeout)
        return await self._parsed(raw) if raw else None

    @override
    async def __aiter__(self) -> AsyncIterator[SQSMessage]:
        """Messages one after the other until the subscriber stops. The caller settles them."""
        self._refuse_with_handlers()
        while self.running:
            try:
                raw = await self._fetcher.fetch(wait_s=self._options.wait_time)
            except AWS_ERRORS as error:
                await self._poller.wait_out(error)
                continue
            if raw is not None:
                yield await self._parsed(raw)

    def _refuse_with_handlers(self) -> None:
        assert not self.calls, "get_one and iteration are for subscribers without handlers"
        assert self.running, "start the subscriber first"

    async def _parsed(self, raw: ReceivedMessage) -> SQSMessage:
        context = self._outer_config.context
        parser, decoder = self._get_parser_and_decoder()
        middlewares = self._outer_config.broker_middlewares
        message = await process_msg(
            msg=raw,
            middlewares=(m(raw, context=context) for m in middlewares),
            parser=parser,
            decoder=decoder,
        )
        assert isinstance(message, SQSMessage)
        return message

    @override
    def _make_response_publisher(self, message: StreamMessage[ReceivedMessage]) -> Sequence[PublisherProto]:
        return (ReplyPublisher(producer=self._outer_config.producer, queue=message.reply_to),)

    @override
    def get_log_context(self, message: StreamMessage[ReceivedMessage] | None) -> dict[str, str]:
        if self._log_context is None:
            self._log_context = {"queue": self.queue_name}
        return {**self._log_context, "message_id": message.message_id if message else ""}

    def _note(self, level: int, text: str, raw: ReceivedMessage | None = None) -> None:
        extra = {"queue": self.queue_name, "message_id": raw.message_id if raw is not None else ""}
        self._log(level, text, extra)
