"""A received message, as AWS delivers it and as a handler sees it."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from faststream.message import StreamMessage

from .payloads import Pointer


class Settles(Protocol):
    """Who deletes, returns and extends a message."""

    def ack(self, raw: "ReceivedMessage") -> Awaitable[None]: ...

    def nack(self, raw: "ReceivedMessage", delay: float | None) -> Awaitable[None]: ...

    def reject(self, raw: "ReceivedMessage", reason: str | None) -> Awaitable[None]: ...

    def extend(self, raw: "ReceivedMessage", seconds: float) -> Awaitable[None]: ...


class ReceivedMessage(dict[str, Any]):
    """The dictionary of ReceiveMessage, with what the subscriber knows about this delivery.

    Times are the event loop's. `settled`: somebody has decided to delete it or to give it back.
    `headers` and `failure` are what parser and handler made of it, for the dead letters. `gone`: SQS confirmed that
    it is deleted; `leaving`: its delete is under way, and nothing else about it; `held_until`: others get it then,
    where no heartbeat extends it; `lost`: others may have it; `away_until`: given back, and visible again then;
    `batch`: handled together with these; `pointer`: where its body is when that is in S3.
    """

    __slots__ = (
        "away_until",
        "batch",
        "extend_at",
        "failure",
        "gone",
        "headers",
        "held_until",
        "leaving",
        "lost",
        "pointer",
        "queue",
        "received_at",
        "settled",
        "settler",
    )

    def __init__(self, raw: dict[str, Any], *, queue: str, settler: Settles, received_at: float) -> None:
        super().__init__(raw)
        self.queue = queue
        self.settler = settler
        self.received_at = received_at
        self.extend_at = float("inf")
        self.failure: BaseException | None = None
        self.headers: dict[str, Any] = {}
        self.held_until = float("inf")
        self.lost = False
        self.pointer: Pointer | None = None
        self.settled = False
        self.leaving = False
        self.gone = False
        self.away_until: float | None = None
        self.batch: ReceivedBatch | None = None

    # Two deliveries of one message are two: compared and hashed by identity, not by content.
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    @property
    def receipt_handle(self) -> str:
        return str(self["ReceiptHandle"])

    @property
    def message_id(self) -> str:
        return str(self["MessageId"])

    @property
    def receive_count(self) -> int:
        return int(self.system("ApproximateReceiveCount") or 1)

    def system(self, name: str) -> str | None:
        """A system attribute such as SentTimestamp."""
        value: str | None = self.get("Attributes", {}).get(name)
        return value

    def time(self, name: str) -> datetime | None:
        """A system attribute in milliseconds since 1970, as a time."""
        milliseconds = self.system(name)
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


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
        """How often SQS has delivered this message, this time included (approximate, says AWS)."""
        return self.raw_message.receive_count

    @property
    def group_id(self) -> str | None:
        return self.raw_message.system("MessageGroupId")

    @property
    def sent_at(self) -> datetime | None:
        return self.raw_message.time("SentTimestamp")

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


def body_bytes(message: StreamMessage[Any]) -> int:
    """Bytes of the body, of a batch those of all of its messages."""
    messages: Sequence[StreamMessage[Any]] = message.messages if isinstance(message, SQSBatchMessage) else [message]
    return sum(len(one.body) for one in messages)


async def _all(settlements: Iterable[Awaitable[None]]) -> None:
    """Every one is tried, then the first error is raised."""
    for ended in await asyncio.gather(*settlements, return_exceptions=True):
        if ended is not None:
            raise ended
