"""The broker in memory: a publish runs the handlers before it returns, and raises what they raised."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, overload

from typing_extensions import override

from ._internal import EnterType, TestBroker, change_producer
from .broker.broker import SQSBroker
from .memory import MemoryService
from .message import ReceivedMessage, SQSMessage
from .parser import SQSParser
from .producer import SQSProducer
from .publisher.usecase import SQSPublisher
from .response import SQSPublishCommand
from .schemas import SNSTopic, SQSQueue, TopicLink
from .subscriber.usecase import SQSSubscriber

__all__ = ("FakeProducer", "TestSQSBroker")


class TestSQSBroker(TestBroker[SQSBroker, EnterType], broker=SQSBroker):
    """`async with TestSQSBroker(broker) as br: await br.publish(...)`.

    A message that a handler gave back waits for `redeliver`; `messages` shows what is in a queue, such as the
    dead-letter queue. Queues and topics are those of the broker; `queues` declares more, or says what production's
    infrastructure says (dead-letter queues, subscriptions) where the code only has names.
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
    ) -> None: ...

    @overload
    def __init__(
        self: "TestSQSBroker[tuple[SQSBroker, ...]]",
        *brokers: SQSBroker,
        with_real: bool = False,
        connect_only: bool | None = None,
        queues: Sequence[SQSQueue] = (),
    ) -> None: ...

    def __init__(
        self,
        *brokers: SQSBroker,
        with_real: bool = False,
        connect_only: bool | None = None,
        queues: Sequence[SQSQueue] = (),
    ) -> None:
        super().__init__(*brokers, with_real=with_real, connect_only=connect_only)
        self._service = MemoryService()
        for queue in queues:
            self._service.declare(queue)

    async def redeliver(self, queue: str | None = None) -> None:
        """Deliver again what was given back to this queue, or to any; raises what the handlers raised."""
        for subscriber in _subscribers(self.brokers):
            if queue in {None, subscriber.queue_name}:
                self._service.make_visible(subscriber.queue_name)
        await _Delivery(self._service, self.brokers).run()

    async def messages(self, queue: str) -> list[SQSMessage]:
        """What is in a queue now, in flight or not, as a consumer would see it."""
        parser = SQSParser()
        settler = _Nobody()
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
        super()._fake_start(broker, *args, **kwargs)
        for subscriber in _subscribers([broker]):
            subscriber.prepare()

    @contextmanager
    @override
    def _patch_producer(self, broker: SQSBroker) -> Generator[None, None, None]:
        config = broker.config.broker_config
        producer = FakeProducer(broker, _Delivery(self._service, self.brokers))
        with change_producer(config, producer):
            yield
        config.disconnect()

    @override
    async def _fake_connect(self, broker: SQSBroker, *args: Any, **kwargs: Any) -> MemoryService:  # type: ignore[override]
        for destination, prefix in broker.destinations():
            if isinstance(destination, SQSQueue):
                self._service.declare(destination, prefix)
        broker.config.broker_config.connect(self._service)
        return self._service

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        await asyncio.gather(*(subscriber.stop() for subscriber in _subscribers(self.brokers)))
        await super().__aexit__(exc_type, exc_val, exc_tb)


class FakeProducer(SQSProducer):
    """Sends into memory, then runs the handlers of what became visible."""

    def __init__(self, broker: SQSBroker, delivery: "_Delivery") -> None:
        config = broker.config.broker_config
        super().__init__(parser=config.broker_parser, decoder=config.broker_decoder)
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


class _Delivery:
    """Runs handlers until nothing is visible to them."""

    def __init__(self, service: MemoryService, brokers: Iterable[SQSBroker]) -> None:
        self._service = service
        self._brokers = brokers

    async def run(self) -> None:
        """Raises the handler's exception, or a group of them when several failed."""
        errors: list[Exception] = []
        async for subscriber, message in self._visible():
            try:
                await subscriber.process([message])
            except Exception as error:  # noqa: BLE001 - other queues get their copy all the same
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("several handlers failed", errors)

    async def _visible(self) -> AsyncIterator[tuple[SQSSubscriber, dict[str, Any]]]:
        """One message at a time, because its handler may publish more."""
        for subscriber in _subscribers(self._brokers):
            while subscriber.calls and subscriber.running and not subscriber.paused:
                received = await self._service.receive(
                    subscriber.queue_name, max_messages=1, wait_s=0, visibility_timeout_s=None
                )
                if not received:
                    break
                yield subscriber, received[0]


class _Nobody:
    """Settles nothing: what a test looks at stays in its queue."""

    async def ack(self, raw: ReceivedMessage) -> None: ...

    async def nack(self, raw: ReceivedMessage, delay: float | None) -> None: ...

    async def reject(self, raw: ReceivedMessage, reason: str | None) -> None: ...

    async def extend(self, raw: ReceivedMessage, seconds: float) -> None: ...


def _subscribers(brokers: Iterable[SQSBroker]) -> list[SQSSubscriber]:
    return [sub for broker in brokers for sub in broker.subscribers if isinstance(sub, SQSSubscriber)]
