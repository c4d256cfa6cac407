"""The publisher: `@broker.publisher(...)` on a handler, or an object to publish with."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from faststream.exceptions import SetupError
from faststream.message import gen_cor_id
from faststream.response import PublishCommand, PublishType
from typing_extensions import override

from .._internal import (
    PublisherMiddleware,
    PublisherSpecification,
    PublisherUsecase,
    PublisherUsecaseConfig,
    SendableMessage,
)
from ..broker.config import Declarer, SQSBrokerConfig
from ..message import SQSMessage
from ..response import SQSPublishCommand, bodies_of
from ..schemas import Destination, SNSTopic, SQSQueue, prefixed


@dataclass(kw_only=True)
class SQSPublisherConfig(PublisherUsecaseConfig):
    _outer_config: SQSBrokerConfig = field(default_factory=SQSBrokerConfig)

    target: SQSQueue | SNSTopic
    to: Destination
    headers: dict[str, Any]
    reply_to: str
    group_id: str | None
    batch: bool


class SQSPublisher(PublisherUsecase):
    """Publishes to one queue or topic; the arguments of `publish` win over its own settings."""

    _outer_config: SQSBrokerConfig

    def __init__(self, config: SQSPublisherConfig, specification: PublisherSpecification[Any, Any]) -> None:
        super().__init__(config, specification)
        self.target = config.target
        self._options = config
        self._declared_by: Declarer | None = None

    @property
    def to(self) -> Destination:
        """Its queue or topic under the prefixes of its routers."""
        own = self._options.to
        return Destination(prefixed(own.name, self._outer_config.prefix), own.is_topic)

    @property
    def prefix(self) -> str:
        """Of its routers."""
        return self._outer_config.prefix

    @override
    async def start(self) -> None:
        await self._declare()

    async def _declare(self) -> None:
        """Before it publishes: it may have been registered after the start."""
        declarer = self._outer_config.declarer
        if declarer is not None and declarer is not self._declared_by:
            await declarer.declare([(self.target, self.prefix)])
            self._declared_by = declarer

    @override
    async def publish(
        self,
        message: SendableMessage = None,
        queue: SQSQueue | SNSTopic | str | None = None,
        *,
        topic: SNSTopic | str | None = None,
        headers: dict[str, Any] | None = None,
        correlation_id: str | None = None,
        reply_to: str = "",
        group_id: str | None = None,
        deduplication_id: str | None = None,
        delay: float | None = None,
        subject: str | None = None,
    ) -> Any:
        """Sent and confirmed; the answer is SQS's or SNS's message id.

        With `batch=True` each element of `message` is a message, and the answer their ids in order.
        """
        if self._options.batch and deduplication_id:
            raise SetupError("messages of a batch that are one: give each its own, SQSResponse(deduplication_id=...)")
        command = SQSPublishCommand(
            message,
            to=Destination.of(queue, topic) if queue or topic else self.to,
            headers=self._options.headers | (headers or {}),
            correlation_id=correlation_id or self._outer_config.id_generator(),
            reply_to=reply_to or self._options.reply_to,
            group_id=group_id or self._options.group_id,
            deduplication_id=deduplication_id,
            delay=delay,
            subject=subject,
            _publish_type=PublishType.PUBLISH,
        )
        if self._options.batch:
            command.batch_bodies = bodies_of(message)
        return await self._send(command, _extra_middlewares=())

    @override
    async def _publish(self, cmd: PublishCommand, *, _extra_middlewares: Iterable[PublisherMiddleware]) -> None:
        """Send what the handler returned."""
        command = SQSPublishCommand.from_cmd(cmd, batch=self._options.batch)
        command.send_to(self.to)
        command.add_headers(self._options.headers, override=False)
        command.reply_to = command.reply_to or self._options.reply_to
        command.group_id = command.group_id or self._options.group_id
        await self._send(command, _extra_middlewares=_extra_middlewares)

    async def _send(self, command: SQSPublishCommand, *, _extra_middlewares: Iterable[PublisherMiddleware]) -> Any:
        await self._declare()
        send = self._basic_publish_batch if self._options.batch else self._basic_publish
        return await send(command, producer=self._outer_config.producer, _extra_middlewares=_extra_middlewares)

    @override
    async def request(
        self,
        message: SendableMessage = None,
        queue: SQSQueue | SNSTopic | str | None = None,
        *,
        topic: SNSTopic | str | None = None,
        headers: dict[str, Any] | None = None,
        correlation_id: str | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        timeout: float = 30.0,
    ) -> SQSMessage:
        """What a handler answers to this message.

        Answers come by the broker's `reply_queue`; TimeoutError when none comes within `timeout` seconds, which is
        also how a failed handler shows.
        """
        command = SQSPublishCommand(
            message,
            to=Destination.of(queue, topic) if queue or topic else self.to,
            headers=self._options.headers | (headers or {}),
            correlation_id=correlation_id or self._outer_config.id_generator() or gen_cor_id(),
            group_id=group_id or self._options.group_id,
            deduplication_id=deduplication_id,
            timeout=timeout,
            _publish_type=PublishType.REQUEST,
        )
        await self._declare()
        answer: SQSMessage = await self._basic_request(command, producer=self._outer_config.producer)
        return answer
