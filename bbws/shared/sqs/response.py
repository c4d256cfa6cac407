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
        command = cmd if isinstance(cmd, SQSPublishCommand) else cls._of(cmd)
        if batch:
            command.batch_bodies = bodies_of(cmd.body)
        return command

    @classmethod
    def _of(cls, cmd: PublishCommand) -> "SQSPublishCommand":
        return cls(
            cmd.body,
            to=Destination(cmd.destination) if cmd.destination else None,
            headers=cmd.headers,
            correlation_id=cmd.correlation_id,
            reply_to=cmd.reply_to,
            _publish_type=cmd.publish_type,
        )


def bodies_of(body: Any) -> Sequence[Any]:
    """Each element of a sequence is a message, None an empty one; anything else is one, and None alone is none."""
    if isinstance(body, Sequence) and not isinstance(body, str | bytes):
        return [b"" if one is None else one for one in body]
    return [] if body is None else [body]
