"""What a handler may return, and the command every publish becomes."""

from collections.abc import Sequence
from typing import Any

from faststream.response import BatchPublishCommand, PublishCommand, PublishType, Response
from typing_extensions import override

from ._internal import SendableMessage
from .schemas import Destination


class SQSResponse(Response):
    """A handler's answer with SQS's own fields; `delay` in seconds, up to 900."""

    def __init__(
        self,
        body: SendableMessage,
        *,
        headers: dict[str, Any] | None = None,
        correlation_id: str | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        delay: float | None = None,
        subject: str | None = None,
    ) -> None:
        super().__init__(body, headers=headers, correlation_id=correlation_id)
        self.group_id = group_id
        self.deduplication_id = deduplication_id
        self.delay = delay
        self.subject = subject

    @override
    def as_publish_command(self) -> "SQSPublishCommand":
        return SQSPublishCommand(
            self.body,
            headers=self.headers,
            correlation_id=self.correlation_id,
            group_id=self.group_id,
            deduplication_id=self.deduplication_id,
            delay=self.delay,
            subject=self.subject,
            _publish_type=PublishType.PUBLISH,
        )


class SQSPublishCommand(BatchPublishCommand):
    """One publish; `destination` is the name as middlewares and metrics show it."""

    def __init__(
        self,
        message: SendableMessage,
        /,
        *messages: SendableMessage,
        to: Destination | None = None,
        headers: dict[str, Any] | None = None,
        correlation_id: str | None = None,
        reply_to: str = "",
        group_id: str | None = None,
        deduplication_id: str | None = None,
        delay: float | None = None,
        subject: str | None = None,
        timeout: float = 30.0,
        _publish_type: PublishType,
    ) -> None:
        super().__init__(
            message,
            *messages,
            destination=to.name if to else "",
            headers=headers,
            correlation_id=correlation_id,
            reply_to=reply_to,
            _publish_type=_publish_type,
        )
        self.is_topic = bool(to and to.is_topic)
        self.group_id = group_id
        self.deduplication_id = deduplication_id
        self.delay = delay
        self.subject = subject
        self.timeout = timeout

    def send_to(self, to: Destination) -> None:
        """Set where it goes."""
        self.destination = to.name
        self.is_topic = to.is_topic

    @classmethod
    @override
    def from_cmd(cls, cmd: PublishCommand, *, batch: bool = False) -> "SQSPublishCommand":
        if isinstance(cmd, SQSPublishCommand):
            if batch:
                cmd.batch_bodies = _bodies(cmd.body)
            return cmd
        first, rest = cls._parse_bodies(cmd.body, batch=batch)
        return cls(
            first,
            *rest,
            to=Destination(cmd.destination) if cmd.destination else None,
            headers=cmd.headers,
            correlation_id=cmd.correlation_id,
            reply_to=cmd.reply_to,
            _publish_type=cmd.publish_type,
        )


def _bodies(body: Any) -> Sequence[Any]:
    return body if isinstance(body, Sequence) and not isinstance(body, str | bytes) else (body,)
