"""A received message, as AWS delivers it and as a handler sees it."""

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, Protocol

from faststream.message import StreamMessage


class Settles(Protocol):
    """Who deletes, returns and extends a message."""

    def ack(self, raw: "ReceivedMessage") -> Awaitable[None]: ...

    def nack(self, raw: "ReceivedMessage", delay: float | None) -> Awaitable[None]: ...

    def reject(self, raw: "ReceivedMessage", reason: str | None) -> Awaitable[None]: ...

    def extend(self, raw: "ReceivedMessage", seconds: float) -> Awaitable[None]: ...


class ReceivedMessage(dict[str, Any]):
    """The dictionary of ReceiveMessage, with what the subscriber knows about this delivery.

    Times are the event loop's. `settled`: somebody has decided to delete it or to give it back.
    `headers` and `failure` are what parser and handler made of it, for the dead letters.
    """

    __slots__ = ("extend_at", "failure", "headers", "queue", "received_at", "settled", "settler")

    def __init__(self, raw: dict[str, Any], *, queue: str, settler: Settles, received_at: float) -> None:
        super().__init__(raw)
        self.queue = queue
        self.settler = settler
        self.received_at = received_at
        self.extend_at = float("inf")
        self.failure: BaseException | None = None
        self.headers: dict[str, Any] = {}
        self.settled = False

    # Two deliveries of one message are two: compared and hashed by identity, not by content.
    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

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
