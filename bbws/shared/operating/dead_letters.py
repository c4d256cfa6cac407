"""`bbws dlq`: what lies in the dead-letter queues, why, and what becomes of it.

AWS's own StartMessageMoveTask can neither choose nor show a message, so this is our loop: receive, look, give back,
or send to the source queue and then delete (a crash in between leaves two copies, never none).
"""

import asyncio
import time
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from bbws.shared.errors import Conflict, NotFound
from bbws.shared.logging import get_logger
from bbws.shared.sqs import dead_letters as story
from bbws.shared.sqs import wire
from bbws.shared.topology import Topology

# Messages are hidden for so long while they are looked at; a listing that dies gives them back after it.
HOLD_S = 120
BATCH = 10
# More than this many are not held at once: receiving them would outlast the holding of the first.
MOST_HELD = 1000
UNTOLD = "crash or timeout (SQS moved it after too many receives)"
# What EventBridge writes beside an event that it could not hand to its rule's target.
_ERROR_CODE, _ERROR_MESSAGE = "ERROR_CODE", "ERROR_MESSAGE"

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
        if _ERROR_CODE in self.headers:
            return f"not delivered: {self.headers[_ERROR_CODE]}: {self.headers.get(_ERROR_MESSAGE, '')}"
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

    @property
    def is_json(self) -> bool:
        """Whether the body as it was published is."""
        try:
            return _is_json(self._content())
        except ValueError:
            return False

    def archived(self) -> dict[str, Any]:
        """What is told, and body and attributes as SQS had them, so that it can be sent again."""
        return {**self.told(), "raw": {"body": self.body, "attributes": _as_json(self.attributes)}}

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


@dataclass(frozen=True, slots=True)
class _Place:
    """A dead-letter queue, and the queue whose messages die there; None: a rule's, which takes undelivered events."""

    name: str
    source: str | None


Wanted = Callable[[DeadLetter], bool]
Store = Callable[[bytes], Awaitable[str]]
"""Keeps the lines of an archive; the answer says where."""


class DeadLetters:
    """Each call looks at the first 1,000 dead letters of a queue, hidden from other readers meanwhile."""

    def __init__(self, sqs: Any, topology: Topology) -> None:
        self._sqs = sqs
        self._urls: dict[str, str] = {}
        self.taken: list[DeadLetter] = []
        """What left its queue, in that order: sent back, replaced, archived or dropped."""
        places = [_Place(queue.dead_letter_name, queue.name) for queue in topology.queues]
        places += [_Place(rule.dead_letter_queue, None) for rule in topology.rules]
        self._places = sorted(places, key=lambda place: place.name)

    def full_name(self, queue_name: str) -> str:
        """The dead-letter queue that is meant. Raises NotFound."""
        return self._place(queue_name).name

    async def summaries(self) -> list[Summary]:
        return await asyncio.gather(*(self._summary(place) for place in self._places))

    async def find(self, queue_name: str, wanted: Wanted) -> list[DeadLetter]:
        """Those wanted, oldest first; all are visible again afterwards."""
        async with self._held(self._place(queue_name)) as held:
            return sorted(filter(wanted, held), key=lambda letter: letter.sent_at)

    async def redrive(self, queue_name: str, wanted: Wanted, *, per_second: float | None = None) -> int:
        """Those wanted are in their source queue again, as they were before they failed; returns how many.

        `per_second` spares the consumers; the others stay hidden as long as that takes.
        Raises Conflict for a rule's: what lies there never was in a queue.
        """
        place = self._place(queue_name)
        if place.source is None:
            raise Conflict(
                f"{place.name} holds events that EventBridge could not deliver, and redriving those is not possible "
                "yet: put each on the bus again (aws events put-events), then drop it here"
            )
        source = await self._url(place.source)
        moved = 0
        async with self._held(place) as held:
            async for letter in self._paced(place, held, wanted, per_second):
                await self._sqs.send_message(
                    QueueUrl=source, MessageBody=letter.body, MessageAttributes=_before_it_died(letter.attributes)
                )
                await self._delete(place, letter)
                held.remove(letter)
                moved += 1
                log.info("dead letter redriven", queue=place.source, message_id=letter.id, reason=letter.reason)
        return moved

    async def edit(self, queue_name: str, message_id: str, content: bytes) -> str:
        """The payload of one dead letter is `content`, its headers and story are as they were; the copy's new id.

        Raises NotFound, and Conflict where JSON would become something else: no consumer could read it.
        """
        place = self._place(queue_name)
        async with self._held(place) as held:
            letter = next((letter for letter in held if letter.id == message_id), None)
            if letter is None:
                raise NotFound(f"there is no dead letter {message_id} in {place.name}")
            if letter.is_json and not _is_json(content):
                raise Conflict("the payload was JSON and the new one is not")
            body, attributes = _with_content(letter, content)
            url = await self._url(place.name)
            sent = await self._sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)
            await self._delete(place, letter)
            held.remove(letter)
            edited_id: str = sent["MessageId"]
            log.warning("dead letter edited", queue=place.name, message_id=letter.id, edited_message_id=edited_id)
        return edited_id

    async def archive(self, queue_name: str, wanted: Wanted, store: Store) -> int:
        """Those wanted are stored as JSON lines with all that a repair needs, and gone from the queue; how many."""
        place = self._place(queue_name)
        async with self._held(place) as held:
            chosen = sorted(filter(wanted, held), key=lambda letter: letter.sent_at)
            if not chosen:
                return 0
            lines = b"".join(orjson.dumps(letter.archived()) + b"\n" for letter in chosen)
            # Stored first: a crash in between leaves them in both places, never in none.
            where = await store(lines)
            for letter in chosen:
                await self._delete(place, letter)
                held.remove(letter)
                log.info("dead letter archived", queue=place.name, message_id=letter.id, archive=where)
        return len(chosen)

    async def drop(self, queue_name: str, wanted: Wanted) -> int:
        """Those wanted are gone for good; returns how many."""
        place = self._place(queue_name)
        dropped = 0
        async with self._held(place) as held:
            for letter in filter(wanted, list(held)):
                log.warning("dead letter dropped", queue=place.name, message_id=letter.id, reason=letter.reason)
                await self._delete(place, letter)
                held.remove(letter)
                dropped += 1
        return dropped

    async def _paced(
        self, place: _Place, held: Sequence[DeadLetter], wanted: Wanted, per_second: float | None
    ) -> AsyncIterator[DeadLetter]:
        """Those wanted, one after the other; all that is held stays hidden however long it takes."""
        # They were hidden when they were received: where it may take long, the time begins anew.
        held_since = time.monotonic() - (0 if per_second is None else HOLD_S)
        for letter in filter(wanted, list(held)):
            if time.monotonic() - held_since > HOLD_S / 2:
                await self._hide(await self._url(place.name), held, HOLD_S)
                held_since = time.monotonic()
            yield letter
            if per_second is not None:
                await asyncio.sleep(1 / per_second)

    def _place(self, name: str) -> _Place:
        """By the name of the queue, with or without `-dlq`."""
        for place in self._places:
            if place.name.removesuffix("-dlq") == name.removesuffix("-dlq"):
                return place
        known = ", ".join(place.name.removesuffix("-dlq") for place in self._places)
        raise NotFound(f"there is no queue {name}; there are {known}")

    async def _summary(self, place: _Place) -> Summary:
        url = await self._url(place.name)
        counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        answer = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(counts))
        depth = sum(int(answer["Attributes"][count]) for count in counts)
        async with self._held(place) as held:
            reasons = Counter((letter.reason, letter.schema) for letter in held)
            oldest = min((letter.sent_at for letter in held), default=None)
            return Summary(place.name, max(depth, len(held)), oldest, reasons.most_common())

    @asynccontextmanager
    async def _held(self, place: _Place) -> AsyncIterator[list[DeadLetter]]:
        """All dead letters of a queue, hidden from others meanwhile; what is still in the list is given back."""
        url = await self._url(place.name)
        held: dict[str, DeadLetter] = {}
        try:
            while len(held) < MOST_HELD and (received := await self._receive(url)):
                # SQS may deliver one twice; the newest receipt is the one that counts.
                held |= {letter.id: letter for letter in received}
            letters = list(held.values())
            yield letters
            held = {letter.id: letter for letter in letters}
        finally:
            await self._hide(url, list(held.values()), 0)

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

    async def _hide(self, url: str, letters: Sequence[DeadLetter], seconds: int) -> None:
        """From other readers, from now on; 0 gives them back."""
        for start in range(0, len(letters), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": seconds}
                for number, letter in enumerate(letters[start : start + BATCH])
            ]
            await self._sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)

    async def _delete(self, place: _Place, letter: DeadLetter) -> None:
        url = await self._url(place.name)
        await self._sqs.delete_message(QueueUrl=url, ReceiptHandle=letter.receipt_handle)
        self.taken.append(letter)

    async def _url(self, name: str) -> str:
        if name not in self._urls:
            self._urls[name] = (await self._sqs.get_queue_url(QueueName=name))["QueueUrl"]
        return self._urls[name]


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
    texts, typed = _texts_and_typed(attributes)
    return wire.pack({name: value for name, value in texts.items() if name not in story.HEADERS}, typed)


def _with_content(letter: DeadLetter, content: bytes) -> tuple[str, dict[str, Any]]:
    """Body and attributes of a copy with another payload."""
    texts, typed = _texts_and_typed(letter.attributes)
    # Takes the marker of the old body's form out of the headers; the new body gets its own.
    wire.decode(letter.body, texts)
    return wire.encode(content, texts, typed)


def _texts_and_typed(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    typed = {name: attribute for name, attribute in attributes.items() if attribute["DataType"] != "String"}
    return wire.unpack({name: attribute for name, attribute in attributes.items() if name not in typed}), typed


def _is_json(content: bytes) -> bool:
    try:
        orjson.loads(content)
    except ValueError:
        return False
    return True


def _as_json(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Binary values as base64, as the AWS CLI writes and reads them."""
    return {
        name: {key: b64encode(value).decode() if isinstance(value, bytes) else value for key, value in each.items()}
        for name, each in attributes.items()
    }
