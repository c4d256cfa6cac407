"""The subscriber as FastStream knows it; `Consumption` does the work."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from faststream import AckPolicy
from faststream.exceptions import StopConsume
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
from ..message import ReceivedBatch, ReceivedMessage, SQSMessage
from ..parser import SQSParser
from ..publisher.fake import ReplyPublisher
from .config import SQSSubscriberConfig
from .consumption import Consumption
from .pipeline import Pipeline
from .shortcut import shorten


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
        self._closing: asyncio.Task[None] | None = None
        self.prepare()

    def prepare(self) -> None:
        """As if never started: nothing known about the queue, not paused."""
        self._log_context = None
        self._closing = None
        # A router's subscriber learns only now which broker it belongs to.
        self.ack_policy = self._options.ack_policy
        self._work = Consumption(
            self._options,
            self._outer_config,
            consume=self.consume,
            is_manual=self.ack_policy is AckPolicy.MANUAL,
            handler=lambda: ",".join(call.name for call in self.calls),
            log=self._note,
        )
        self._pipeline = None

    @property
    def queue_name(self) -> str:
        """The queue's name under the prefixes of its routers."""
        return self._work.queue.name

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
        return self._work.pausing.paused

    @property
    def alive(self) -> bool:
        """False when it should be receiving and its loop has ended."""
        polling = self._work.polling
        return polling is None or not polling.done()

    @override
    async def start(self) -> None:
        if self._work.polling is not None:
            return
        self.prepare()
        await self._outer_config.declare((self.queue, self.prefix))
        await super().start()
        for middleware in self._outer_config.broker_middlewares:
            if watch := getattr(middleware, "watch_subscriber", None):
                watch(self)
        self._post_start()
        if self.calls and self._outer_config.polls:
            self._pipeline = self._new_pipeline()
            self._work.start(self._pipeline.set_constants)

    @override
    def _build_fastdepends_model(self) -> None:
        super()._build_fastdepends_model()
        for call in self.calls:
            shorten(call, self._outer_config.fd_config)
        self._pipeline = None

    @override
    async def consume(self, msg: ReceivedMessage) -> Any:
        """As FastStream's, but also while a stop is under way: what may begin then is known elsewhere."""
        assert self._pipeline is not None
        try:
            return await self._pipeline.run_alone(msg)
        except StopConsume:
            await self.stop()
        except SystemExit:
            await self.stop()
            if app := self._outer_config.context.get("app"):
                app.exit()
        except Exception:  # noqa: BLE001 - the pipeline has logged it
            return None

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
            on_handled=self._work.on_handled,
            delete_soon=self._work.delete_soon,
            is_cut_off=self._work.is_cut_off,
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
        self._work.is_stopping = True
        if self._closing is None:
            self._closing = asyncio.create_task(self._work.stop())
        if asyncio.current_task() not in self._work.pool.tasks.values():
            await asyncio.shield(self._closing)

    async def process(self, messages: Sequence[dict[str, Any]]) -> list[Exception]:
        """Handle and settle what one receive brought here and now; what handlers raised is the answer."""
        errors: list[Exception] = []
        for batch in self._work.batches(self._work.received(messages)):
            if self.queue.fifo and errors:
                # Those behind a failure come after it.
                await self._work.give_back(batch)
                continue
            try:
                await self._process_batch(batch)
            except Exception as error:  # noqa: BLE001 - the others are handled all the same
                errors.append(error)
        return errors

    async def _process_batch(self, batch: ReceivedBatch) -> None:
        self._work.pausing.begin(batch[0])
        for raw in batch:
            raw.begin()
        try:
            await self.process_message(self._work.as_consumed(batch))
        finally:
            await self._work.settle_leftovers(batch)
            self._work.pausing.end(batch[0])

    @override
    async def get_one(self, *, timeout: float = 5.0) -> SQSMessage | None:
        """The next message, or None after `timeout` seconds. The caller settles it; no heartbeat extends it."""
        self._refuse_with_handlers()
        raw = await self._work.fetcher.fetch_within(timeout)
        return await self._parsed(raw) if raw else None

    @override
    async def __aiter__(self) -> AsyncIterator[SQSMessage]:
        """Messages one after the other until the subscriber stops. The caller settles them."""
        self._refuse_with_handlers()
        while self.running:
            try:
                raw = await self._work.fetcher.fetch(wait_s=self._options.wait_time)
            except AWS_ERRORS as error:
                await self._work.poller.wait_out(error)
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
