"""The broker in memory: a publish runs the handlers before it returns, and raises what they raised."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar, overload

from typing_extensions import override

from ._internal import EnterType, TestBroker
from .broker.broker import SQSBroker
from .inbox import Settled
from .memory import MIN_DELAY_S, MemoryService
from .message import ReceivedMessage, SQSMessage
from .parser import SQSParser
from .payloads import MemoryObjects, Payloads
from .producer import SQSProducer
from .publisher.usecase import SQSPublisher
from .response import SQSPublishCommand
from .schemas import SNSTopic, SQSQueue, TopicLink
from .subscriber.usecase import SQSSubscriber

__all__ = ("FakeProducer", "TestSQSBroker")

T = TypeVar("T")


class TestSQSBroker(TestBroker[SQSBroker, EnterType], broker=SQSBroker):
    """`async with TestSQSBroker(broker) as br: await br.publish(...)`.

    Time stands still until `advance`: then what was delayed or given back comes when it would on AWS, in no time.
    `redeliver` delivers it at once, and `messages` shows what is in a queue, such as the dead-letter queue. With
    `raise_errors=False` handlers fail as in production and `errors` has their exceptions. Queues and topics are those
    of the broker; `queues` declares more, or says what production's infrastructure says (dead-letter queues,
    subscriptions) where the code only has names.
    """

    @overload
    def __init__(
        self: "TestSQSBroker[SQSBroker]",
        broker: SQSBroker,
        /,
        *,
        with_real: bool = False,
        connect_only: bool | None = None,
        queues: Sequence[SQSQueue] = (),
        raise_errors: bool = True,
    ) -> None: ...

    @overload
    def __init__(
        self: "TestSQSBroker[tuple[SQSBroker, ...]]",
        *brokers: SQSBroker,
        with_real: bool = False,
        connect_only: bool | None = None,
        queues: Sequence[SQSQueue] = (),
        raise_errors: bool = True,
    ) -> None: ...

    def __init__(
        self,
        *brokers: SQSBroker,
        with_real: bool = False,
        connect_only: bool | None = None,
        queues: Sequence[SQSQueue] = (),
        raise_errors: bool = True,
    ) -> None:
        super().__init__(*brokers, with_real=with_real, connect_only=connect_only)
        self._service = MemoryService()
        self._objects = MemoryObjects()
        self._delivery = _Delivery(self._service, self.brokers, raise_errors=raise_errors)
        self._interrupted: Sequence[SQSSubscriber] = ()
        for queue in queues:
            self._service.declare(queue)

    async def redeliver(self, queue: str | None = None) -> None:
        """Deliver again what was given back to this queue, or to any; raises what the handlers raised."""
        for subscriber in _subscribers(self.brokers):
            if queue in {None, subscriber.queue_name}:
                self._service.make_visible(subscriber.queue_name)
        await self._delivery.run()

    async def advance(self, seconds: float) -> None:
        """Time goes on by `seconds`, and everything that becomes visible meanwhile is handled at its moment.

        Raises what handlers raised once the time is over: one exception, or a group of them.
        """
        # What became visible during a pause that is over.
        errors = await self._delivery.deliver()
        until = self._service.now + max(seconds, MIN_DELAY_S)
        queues = [subscriber.queue_name for subscriber in _subscribers(self.brokers)]
        while (moment := self._service.next_visible(queues, until)) is not None:
            self._service.set_time(moment)
            errors += await self._delivery.deliver()
        self._service.set_time(until)
        self._delivery.report(errors)

    @property
    def now(self) -> datetime:
        """The time in the queues."""
        return datetime.fromtimestamp(self._service.now, UTC)

    @property
    def errors(self) -> Sequence[Exception]:
        """What handlers have raised so far."""
        return tuple(self._delivery.errors)

    async def messages(self, queue: str) -> list[SQSMessage]:
        """What is in a queue now, in flight or not, as a consumer would see it."""
        payloads = next((found for broker in self.brokers if (found := broker.config.broker_config.payloads)), None)
        parser = SQSParser(payloads=lambda: payloads)
        settler = Settled()
        raws = [
            ReceivedMessage(message, queue=queue, settler=settler, received_at=0)
            for message in self._service.messages(queue)
        ]
        return [await parser.parse_message(raw) for raw in raws]

    @override
    def create_publisher_fake_subscriber(
        self, broker: SQSBroker, publisher: SQSPublisher
    ) -> tuple[SQSSubscriber, bool]:
        to = publisher.to
        if not to.is_topic:
            for subscriber in _subscribers(self.brokers):
                if subscriber.queue_name == to.name:
                    return subscriber, True
            return broker.subscriber(to.name, wait_time=1, persistent=False), False
        # Always its own: a subscriber of the topic may filter out what the publisher sends.
        links = [TopicLink(SNSTopic(to.name))]
        queue = SQSQueue(f"everything-of-{to.name}", topics=links, declare=True)
        self._service.declare(queue)
        return broker.subscriber(queue, wait_time=1, persistent=False), False

    @override
    def _fake_start(self, broker: SQSBroker, *args: Any, **kwargs: Any) -> None:
        if not self.with_real:
            self._declare(broker.destinations())
            for subscriber in _subscribers([broker]):
                if not subscriber.running:
                    subscriber.prepare()
        super()._fake_start(broker, *args, **kwargs)

    def _declare(self, destinations: Iterable[tuple[SQSQueue | SNSTopic, str]]) -> None:
        for destination, prefix in destinations:
            if isinstance(destination, SQSQueue):
                self._service.declare(destination, prefix)

    @contextmanager
    @override
    def _patch_producer(self, broker: SQSBroker) -> Generator[None, None, None]:
        with broker.config.broker_config.replaced(FakeProducer(broker, self._delivery)):
            yield

    @override
    async def _fake_connect(self, broker: SQSBroker, *args: Any, **kwargs: Any) -> MemoryService:  # type: ignore[override]
        self._declare(broker.destinations())
        bucket = broker.payload_bucket
        payloads = Payloads(bucket, self._objects) if bucket else None
        broker.config.broker_config.connect(self._service, payloads, declarer=self, polls=False)
        return self._service

    async def declare(self, destinations: Sequence[tuple[SQSQueue | SNSTopic, str]]) -> None:
        """What is registered later is known in memory too."""
        self._declare(destinations)

    @override
    async def __aenter__(self) -> EnterType:
        # Those that receive from AWS do so again afterwards.
        self._interrupted = [s for s in _subscribers(self.brokers) if s.running and not self.with_real]
        await asyncio.gather(*(subscriber.stop() for subscriber in self._interrupted))
        return await super().__aenter__()

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        await self._delivery.close()
        await asyncio.gather(*(subscriber.stop() for subscriber in _subscribers(self.brokers)))
        await super().__aexit__(exc_type, exc_val, exc_tb)
        for subscriber in self._interrupted:
            await subscriber.start()


class FakeProducer(SQSProducer):
    """Sends into memory, then runs the handlers of what became visible."""

    def __init__(self, broker: SQSBroker, delivery: "_Delivery") -> None:
        config = broker.config.broker_config
        super().__init__(
            parser=config.broker_parser, decoder=config.broker_decoder, reply_queue=broker.reply_queue_name
        )
        self._delivery = delivery

    @override
    async def publish(self, cmd: SQSPublishCommand) -> str:
        message_id = await super().publish(cmd)
        await self._delivery.run()
        return message_id

    @override
    async def publish_batch(self, cmd: SQSPublishCommand) -> list[str]:
        message_ids = await super().publish_batch(cmd)
        await self._delivery.run()
        return message_ids

    @override
    async def request(self, cmd: SQSPublishCommand) -> ReceivedMessage:
        """The answer is there when the handlers have run, or never; handlers that take too long go on without us."""
        answer = self._expected(cmd)
        handled = self._delivery.track(self.publish(cmd))
        try:
            async with asyncio.timeout(cmd.timeout):
                await asyncio.shield(handled)
            await self._answers().collect(0)
            if not answer.done():
                raise TimeoutError("no handler has answered")
            return await answer
        finally:
            answer.cancel()


class _Delivery:
    """Runs handlers until nothing is visible to them."""

    def __init__(self, service: MemoryService, brokers: Iterable[SQSBroker], *, raise_errors: bool) -> None:
        self._service = service
        self._brokers = brokers
        self._raises = raise_errors
        self._late: set[asyncio.Task[Any]] = set()
        self.errors: list[Exception] = []

    def track(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that `close` ends, where it still runs then."""
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return task

    async def close(self) -> None:
        """No handler runs any more."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def run(self) -> None:
        """Raises the handler's exception, or a group of them when several failed."""
        self.report(await self.deliver())

    def report(self, errors: Sequence[Exception]) -> None:
        """Raise what handlers raised, where that is wanted."""
        if not errors or not self._raises:
            return
        if len(errors) == 1:
            raise errors[0]
        raise ExceptionGroup("several handlers failed", errors)

    async def deliver(self) -> list[Exception]:
        """What handlers raised."""
        errors: list[Exception] = []
        async for subscriber, messages in self._visible():
            errors += await subscriber.process(messages)
        self.errors += errors
        return errors

    async def _visible(self) -> AsyncIterator[tuple[SQSSubscriber, list[dict[str, Any]]]]:
        """One receive at a time, because handlers may publish more."""
        for subscriber in _subscribers(self._brokers):
            while subscriber.calls and subscriber.running and not subscriber.paused:
                received = await self._service.receive(
                    subscriber.queue_name,
                    max_messages=subscriber.max_per_call,
                    wait_s=0,
                    visibility_timeout_s=subscriber.visibility_timeout,
                )
                if not received:
                    break
                yield subscriber, received


def _subscribers(brokers: Iterable[SQSBroker]) -> list[SQSSubscriber]:
    return [sub for broker in brokers for sub in broker.subscribers if isinstance(sub, SQSSubscriber)]
