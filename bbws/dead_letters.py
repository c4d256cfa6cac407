"""`bbws dlq`: what lies in the dead-letter queues, why, and what becomes of it.

AWS's own StartMessageMoveTask can neither choose nor show a message, so this is our loop: receive, look, give back,
or send to the source queue and then delete (a crash in between leaves two copies, never none).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from bbws.shared.errors import NotFound
from bbws.shared.logging import get_logger
from bbws.shared.sqs import wire
from bbws.shared.sqs.subscriber import dead_letters as story
from bbws.shared.topology import Queue, Topology

# Messages are hidden for so long while they are looked at; a listing that dies gives them back after it.
HOLD_S = 120
BATCH = 10
# More than this many are not held at once: receiving them would outlast the holding of the first.
MOST_HELD = 1000
# A redriven message must not look like the dead letter it was.
_STORY = frozenset(
    {
        story.REASON,
        story.EXCEPTION,
        story.HANDLER,
        story.QUEUE,
        story.FIRST_SEEN,
        story.RECEIVE_COUNT,
        story.MESSAGE_ID,
        story.TRACE_ID,
    }
)
UNTOLD = "crash or timeout (SQS moved it after too many receives)"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter as it lies in its queue."""

    id: str
    queue: str
    body: str
    sent_at: datetime
    headers: Mapping[str, str]
    attributes: Mapping[str, Any]
    receipt_handle: str

    @property
    def reason(self) -> str:
        return self.headers.get(story.REASON, UNTOLD)

    @property
    def schema(self) -> str:
        """Which contract and version the body claims to be, or `unreadable`."""
        try:
            document = orjson.loads(self._content())
        except ValueError:
            return "unreadable"
        return str(document.get("dataschema", "unknown")) if isinstance(document, dict) else "unknown"

    def told(self) -> dict[str, Any]:
        """All of it, the body decoded where it is JSON."""
        try:
            body: Any = orjson.loads(self._content())
        except ValueError:
            body = self.body
        headers = {name: value for name, value in self.headers.items() if isinstance(value, str)}
        seen = {"id": self.id, "queue": self.queue, "deadSince": self.sent_at.isoformat()}
        return {**seen, "reason": self.reason, "headers": headers, "body": body}

    def _content(self) -> bytes:
        """The body as it was published; raises ValueError where it claims an encoding that it has not."""
        return wire.decode(self.body, dict(self.headers))


@dataclass(frozen=True, slots=True)
class Summary:
    """`by_reason` counts (reason, contract) pairs among the first 1,000, most frequent first."""

    queue: str
    depth: int
    oldest: datetime | None
    by_reason: Sequence[tuple[tuple[str, str], int]]


Wanted = Callable[[DeadLetter], bool]


class DeadLetters:
    """Each call looks at the first 1,000 dead letters of a queue, hidden from other readers meanwhile."""

    def __init__(self, sqs: Any, topology: Topology) -> None:
        self._sqs = sqs
        self._topology = topology

    async def summaries(self) -> list[Summary]:
        queues = sorted(self._topology.queues, key=lambda queue: queue.name)
        return await asyncio.gather(*(self._summary(queue) for queue in queues))

    async def find(self, queue_name: str, wanted: Wanted) -> list[DeadLetter]:
        """Those wanted, oldest first; all are visible again afterwards."""
        async with self._held(self._queue(queue_name)) as held:
            return sorted(filter(wanted, held), key=lambda letter: letter.sent_at)

    async def redrive(self, queue_name: str, wanted: Wanted) -> int:
        """Those wanted are in their source queue again, as they were before they failed; returns how many."""
        queue = self._queue(queue_name)
        source = await self._url(queue.name)
        moved = 0
        async with self._held(queue) as held:
            for letter in filter(wanted, list(held)):
                await self._sqs.send_message(
                    QueueUrl=source, MessageBody=letter.body, MessageAttributes=_before_it_died(letter.attributes)
                )
                await self._delete(queue, letter)
                held.remove(letter)
                moved += 1
                log.info("dead letter redriven", queue=queue.name, message_id=letter.id, reason=letter.reason)
        return moved

    async def drop(self, queue_name: str, wanted: Wanted) -> int:
        """Those wanted are gone for good; returns how many."""
        queue = self._queue(queue_name)
        dropped = 0
        async with self._held(queue) as held:
            for letter in filter(wanted, list(held)):
                log.warning("dead letter dropped", queue=queue.name, message_id=letter.id, reason=letter.reason)
                await self._delete(queue, letter)
                held.remove(letter)
                dropped += 1
        return dropped

    def _queue(self, name: str) -> Queue:
        wanted = name.removesuffix("-dlq")
        for queue in self._topology.queues:
            if queue.name == wanted:
                return queue
        known = ", ".join(sorted(queue.name for queue in self._topology.queues))
        raise NotFound(f"there is no queue {name}; there are {known}")

    async def _summary(self, queue: Queue) -> Summary:
        url = await self._url(queue.dead_letter_name)
        counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        answer = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(counts))
        depth = sum(int(answer["Attributes"][count]) for count in counts)
        async with self._held(queue) as held:
            reasons = Counter((letter.reason, letter.schema) for letter in held)
            oldest = min((letter.sent_at for letter in held), default=None)
            return Summary(queue.dead_letter_name, max(depth, len(held)), oldest, reasons.most_common())

    @asynccontextmanager
    async def _held(self, queue: Queue) -> AsyncIterator[list[DeadLetter]]:
        """All dead letters of a queue, hidden from others meanwhile; what is still in the list is given back."""
        url = await self._url(queue.dead_letter_name)
        held: dict[str, DeadLetter] = {}
        try:
            while len(held) < MOST_HELD and (received := await self._receive(url)):
                # SQS may deliver one twice; the newest receipt is the one that counts.
                held |= {letter.id: letter for letter in received}
            letters = list(held.values())
            yield letters
            held = {letter.id: letter for letter in letters}
        finally:
            await self._give_back(url, list(held.values()))

    async def _receive(self, url: str) -> list[DeadLetter]:
        answer = await self._sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=HOLD_S,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        name = url.rsplit("/", 1)[-1]
        return [_letter(name, message) for message in answer.get("Messages", ())]

    async def _give_back(self, url: str, letters: Sequence[DeadLetter]) -> None:
        for start in range(0, len(letters), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": 0}
                for number, letter in enumerate(letters[start : start + BATCH])
            ]
            await self._sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)

    async def _delete(self, queue: Queue, letter: DeadLetter) -> None:
        url = await self._url(queue.dead_letter_name)
        await self._sqs.delete_message(QueueUrl=url, ReceiptHandle=letter.receipt_handle)

    async def _url(self, name: str) -> str:
        url: str = (await self._sqs.get_queue_url(QueueName=name))["QueueUrl"]
        return url


def _letter(queue: str, message: Mapping[str, Any]) -> DeadLetter:
    attributes = message.get("MessageAttributes", {})
    headers = wire.unpack(attributes)
    return DeadLetter(
        id=message["MessageId"],
        queue=queue,
        body=message["Body"],
        sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        headers=headers,
        attributes=attributes,
        receipt_handle=message["ReceiptHandle"],
    )


def _before_it_died(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The message's own attributes, without those that tell how it failed."""
    typed = {name: attribute for name, attribute in attributes.items() if attribute["DataType"] != "String"}
    texts = wire.unpack({name: attribute for name, attribute in attributes.items() if name not in typed})
    return wire.pack({name: value for name, value in texts.items() if name not in _STORY}, typed)
