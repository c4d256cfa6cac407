"""A received message, as AWS delivers it and as a handler sees it."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from faststream.message import StreamMessage

from .delivery import Delivery
from .payloads import Pointer
from .requeued import requeued


class Settles(Protocol):
    """Who deletes, returns and extends a message."""

    def ack(self, raw: "ReceivedMessage") -> Awaitable[None]: ...

    def nack(self, raw: "ReceivedMessage", delay: float | None) -> Awaitable[None]: ...

    def reject(self, raw: "ReceivedMessage", reason: str | None) -> Awaitable[None]: ...

    def extend(self, raw: "ReceivedMessage", seconds: float) -> Awaitable[None]: ...


class ReceivedMessage(Delivery):
    """A delivery with what the wire says of it, and what parser and handler made of it.

    `headers` and `failure` are for the dead letters. `batch`: handled together with these; `pointer`: where its body is
    when that is in S3; `requeued`: what this copy says of the message in whose place it was sent.
    """

    __slots__ = ("batch", "failure", "headers", "pointer", "queue", "requeued", "settler")

    def __init__(self, raw: dict[str, Any], *, queue: str, settler: Settles, received_at: float) -> None:
        super().__init__(raw, received_at)
        self.queue = queue
        self.settler = settler
        self.failure: BaseException | None = None
        self.headers: dict[str, Any] = {}
        self.pointer: Pointer | None = None
        self.batch: ReceivedBatch | None = None
        self.requeued = requeued(raw.get("MessageAttributes"))

    @property
    def receipt_handle(self) -> str:
        return str(self["ReceiptHandle"])

    @property
    def message_id(self) -> str:
        """Of a copy that of the first message, as the copy says."""
        return self.sqs_id if self.requeued is None else self.requeued.message_id

    @property
    def sqs_id(self) -> str:
        """SQS's own; nobody can send a message under another's."""
        return str(self["MessageId"])

    @property
    def sqs_receives(self) -> int:
        """How often SQS has delivered it, by its own count."""
        return int(self.system("ApproximateReceiveCount") or 1)

    @property
    def receive_count(self) -> int:
        """How often it has come, copies and attempts without a receive included."""
        earlier = 0 if self.requeued is None else self.requeued.receives
        return earlier + self.sqs_receives + self.repeats

    @property
    def earlier_failures(self) -> int:
        """How often it failed before this copy was sent."""
        return 0 if self.requeued is None else self.requeued.failures

    @property
    def group_id(self) -> str | None:
        return self.system("MessageGroupId")

    @property
    def sent(self) -> str | None:
        """When it was sent, a copy's first message, in milliseconds since 1970."""
        return self.system("SentTimestamp") if self.requeued is None else self.requeued.sent

    @property
    def first_seen(self) -> str | None:
        """When it was received for the first time, or else sent, in milliseconds since 1970."""
        if self.requeued is not None:
            return self.requeued.first_seen
        return self.system("ApproximateFirstReceiveTimestamp") or self.sent

    def system(self, name: str) -> str | None:
        """A system attribute such as SentTimestamp."""
        value: str | None = self.get("Attributes", {}).get(name)
        return value


class ReceivedBatch(tuple[ReceivedMessage, ...]):
    """What one call of a handler gets: messages of one queue, at least one."""

    def __init__(self, messages: Iterable[ReceivedMessage]) -> None:  # noqa: ARG002 - tuple took them in __new__
        for message in self:
            message.batch = self

    @property
    def queue(self) -> str:
        """Where they come from."""
        return self[0].queue

    # By identity, as its messages are; these cost nothing, functions of our own would.
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__


class SQSMessage(StreamMessage[ReceivedMessage]):
    """What handlers see. `topic_arn` is known where SNS wrapped the message in its envelope."""

    topic_arn: str | None = None

    @property
    def queue(self) -> str:
        """Name of the queue it was received from."""
        return self.raw_message.queue

    @property
    def receipt_handle(self) -> str:
        return self.raw_message.receipt_handle

    @property
    def receive_count(self) -> int:
        """How often this message has come, this time included: SQS's count (approximate, says AWS), and ours.

        Ours are the attempts of a FIFO queue that follow without a receive, and the receives before a copy was sent.
        """
        return self.raw_message.receive_count

    @property
    def group_id(self) -> str | None:
        return self.raw_message.group_id

    @property
    def sent_at(self) -> datetime | None:
        return as_time(self.raw_message.sent)

    async def ack(self) -> None:
        """Deleted from the queue, confirmed by SQS; SettlementError when it was not."""
        if self.committed is None:
            await self.raw_message.settler.ack(self.raw_message)
        await super().ack()

    async def nack(self, delay: float | None = None) -> None:
        """A failed attempt: visible again after `delay` seconds, or as the subscriber's `retry` says.

        The last of the allowed attempts goes to the dead letters instead.
        """
        if self.committed is None:
            await self.raw_message.settler.nack(self.raw_message, delay)
        await super().nack()

    async def reject(self, reason: str | None = None) -> None:
        """Copied to the dead-letter queue with the reason, then deleted; logged with its body where there is none."""
        if self.committed is None:
            await self.raw_message.settler.reject(self.raw_message, reason)
        await super().reject()

    async def extend(self, seconds: float) -> None:
        """Invisible to others for `seconds` from now; the heartbeat goes on from there."""
        await self.raw_message.settler.extend(self.raw_message, seconds)


class SQSBatchMessage(StreamMessage[ReceivedBatch]):
    """What handlers with `batch=True` see: `messages` can be settled one by one, the batch settles the others.

    `body` is the list of bodies, `headers` are those of the first and `batch_headers` those of all.
    """

    def __init__(self, raw: ReceivedBatch, messages: Sequence[SQSMessage]) -> None:
        first = messages[0]
        super().__init__(
            raw,
            [message.body for message in messages],
            headers=first.headers,
            batch_headers=[message.headers for message in messages],
            content_type=first.content_type,
            correlation_id=first.correlation_id,
            message_id=first.message_id,
        )
        self.messages = messages

    @property
    def queue(self) -> str:
        """Name of the queue they were received from."""
        return self.raw_message.queue

    async def ack(self) -> None:
        """Those not settled yet are deleted, confirmed by SQS; SettlementError when one was not."""
        if self.committed is None:
            await _all(message.ack() for message in self.messages)
        await super().ack()

    async def nack(self, delay: float | None = None) -> None:
        """Those not settled yet have failed, and come again one by one."""
        if self.committed is None:
            await _all(message.nack(delay) for message in self.messages)
        await super().nack()

    async def reject(self, reason: str | None = None) -> None:
        """Those not settled yet are moved to the dead letters."""
        if self.committed is None:
            await _all(message.reject(reason) for message in self.messages)
        await super().reject()

    async def extend(self, seconds: float) -> None:
        """All invisible to others for `seconds` from now."""
        await _all(message.extend(seconds) for message in self.messages)


def as_time(milliseconds: str | None) -> datetime | None:
    """Of milliseconds since 1970."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


def body_bytes(message: StreamMessage[Any]) -> int:
    """Bytes of the body, of a batch those of all of its messages."""
    messages: Sequence[StreamMessage[Any]] = message.messages if isinstance(message, SQSBatchMessage) else [message]
    return sum(len(one.body) for one in messages)


async def _all(settlements: Iterable[Awaitable[None]]) -> None:
    """Every one is tried, then the first error is raised."""
    for ended in await asyncio.gather(*settlements, return_exceptions=True):
        if ended is not None:
            raise ended
