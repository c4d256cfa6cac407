"""SQS and SNS in memory, for the test broker.

Queues and topics exist as soon as they are named. Delays, visibility timeouts, receive counts, receipt handles,
redrive policies, FIFO groups, deduplication, subscriptions with their filters and SNS's envelope are those of AWS;
the clock moves only when it is told to.
"""

import asyncio
import hashlib
import json
import math
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from .client import BatchResult, Failure
from .filters import lets_pass
from .outgoing import Outgoing
from .schemas import SQSQueue, TopicLink, prefixed, short_name
from .wire import Attribute

_SCHEME = "memory://"
_REGION = "arn:aws:{}:memory:000000000000:"


_VISIBILITY_S = 30.0
_DEDUPLICATION_S = 300.0
# What is given back at once comes with the next receive, not with the one that is going on.
MIN_DELAY_S = 1e-6


@dataclass
class _Stored:
    body: str
    attributes: dict[str, Attribute]
    group_id: str | None
    sent_at: float
    visible_at: float
    message_id: str = field(default_factory=lambda: str(uuid4()))
    first_received_at: float | None = None
    receive_count: int = 0
    handle: str = ""

    def as_received(self) -> dict[str, Any]:
        """As ReceiveMessage answers."""
        system = {"ApproximateReceiveCount": str(self.receive_count), "SentTimestamp": _milliseconds(self.sent_at)}
        if self.first_received_at is not None:
            system["ApproximateFirstReceiveTimestamp"] = _milliseconds(self.first_received_at)
        if self.group_id:
            system["MessageGroupId"] = self.group_id
        return {
            "MessageId": self.message_id,
            "ReceiptHandle": self.handle,
            "Body": self.body,
            "Attributes": system,
            "MessageAttributes": self.attributes,
        }


def _milliseconds(at: float) -> str:
    return str(int(at * 1000))


@dataclass
class _Queue:
    settings: SQSQueue
    dead_letter: str | None = None
    messages: list[_Stored] = field(default_factory=list)
    sent: dict[str, tuple[float, str]] = field(default_factory=dict)  # by deduplication id: when, and as what

    @property
    def max_receive_count(self) -> int | None:
        return self.settings.max_receive_count if self.dead_letter else None

    def receivable(self, now: float) -> list[_Stored]:
        """What is visible, of FIFO groups only where nothing of the group is in flight."""
        if not self.settings.fifo:
            return [stored for stored in self.messages if stored.visible_at <= now]
        blocked = {stored.group_id for stored in self.messages if stored.visible_at > now}
        return [stored for stored in self.messages if stored.group_id not in blocked]

    def deduplicated(self, deduplication_id: str, now: float) -> str | None:
        """The message id under which the same was sent within five minutes."""
        at, message_id = self.sent.get(deduplication_id, (-_DEDUPLICATION_S, ""))
        return message_id if at > now - _DEDUPLICATION_S else None


class MemoryService:
    """`Client` without AWS. `clock` gives the time in seconds; without one time stands still until `set_time`."""

    region = None

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._queues: dict[str, _Queue] = {}
        self._links: list[tuple[str, str, TopicLink]] = []
        self._handles = count(1)
        self._time = time.time()
        self._clock = clock or (lambda: self._time)
        self._stands_still = clock is None
        self._changed = asyncio.Event()

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    def set_time(self, now: float) -> None:
        """Time goes on to `now`."""
        self._time = now
        self._change()

    def next_visible(self, queues: Iterable[str], until: float) -> float | None:
        """When the next message becomes visible in one of these queues, if it does until then."""
        now = self.now
        times = (stored.visible_at for queue in queues for stored in self._queue(queue).messages)
        return min((at for at in times if now < at <= until), default=None)

    def declare(self, queue: SQSQueue, prefix: str = "") -> None:
        """The queue with its dead-letter queue and its subscriptions."""
        name = short_name(prefixed(queue.name, prefix))
        known = self._queues.get(name)
        letters = queue.dead_letter_queue
        if letters is not None:
            self.declare(letters, prefix)
        # One naming a queue without settings must not undo another that declares it.
        if known is None or queue.dead_letter or queue.topics:
            dead_letter = short_name(prefixed(letters.name, prefix)) if letters else None
            self._queues[name] = _Queue(
                queue, dead_letter, known.messages if known else [], known.sent if known else {}
            )
            self._links = [link for link in self._links if link[1] != name]
            self._links += [(short_name(prefixed(t.target.name, prefix)), name, t) for t in queue.topics]

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """All messages of a queue as a receive would show them, in flight or not."""
        return [stored.as_received() for stored in self._queue(queue).messages]

    def make_visible(self, queue: str) -> None:
        """As if every back-off, delay and visibility timeout had passed."""
        for stored in self._queue(queue).messages:
            stored.visible_at = self.now
        self._change()

    async def receive(
        self,
        queue_url: str,
        *,
        max_messages: int,
        wait_s: int,
        visibility_timeout_s: int | None,
    ) -> list[dict[str, Any]]:
        now = asyncio.get_running_loop().time
        until = now() + wait_s
        while not (taken := self._take(queue_url, max_messages, visibility_timeout_s)):
            left_s = until - now()
            await self._wait_for_change(queue_url, left_s)
            if left_s <= 0:
                break
        return taken

    async def _wait_for_change(self, queue: str, seconds: float) -> None:
        """Something came, or becomes visible now, or the time is over; others run meanwhile in any case."""
        if not self._stands_still and (visible_at := self.next_visible([queue], math.inf)):
            seconds = min(seconds, visible_at - self.now)
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await changed.wait()

    def _change(self) -> None:
        """Those who wait for messages look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _take(self, queue_url: str, max_messages: int, visibility_timeout_s: int | None) -> list[dict[str, Any]]:
        queue = self._queue(queue_url)
        self._redrive(queue)
        own = queue.settings.visibility_timeout
        lease_s = next((s for s in (visibility_timeout_s, own) if s is not None), _VISIBILITY_S)
        taken = queue.receivable(self.now)[:max_messages]
        for stored in taken:
            stored.visible_at = self.now + lease_s
            stored.receive_count += 1
            stored.first_received_at = stored.first_received_at or self.now
            stored.handle = f"handle-{next(self._handles)}"
        return [stored.as_received() for stored in taken]

    def _redrive(self, queue: _Queue) -> None:
        """What was received too often moves, as SQS does it at the next receive: with its attributes and no reason."""
        limit = queue.max_receive_count
        if limit is None or queue.dead_letter is None:
            return
        for stored in queue.receivable(self.now):
            if stored.receive_count >= limit:
                queue.messages.remove(stored)
                self._queue(queue.dead_letter).messages.append(stored)
                self._change()

    async def delete_batch(self, queue_url: str, receipt_handles: Sequence[str]) -> Sequence[Failure]:
        queue = self._queue(queue_url)
        queue.messages = [stored for stored in queue.messages if stored.handle not in receipt_handles]
        self._change()  # the next of a FIFO group
        return ()

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        now = self.now
        held = {s.handle: s for s in self._queue(queue_url).messages if s.visible_at > now}
        for handle, seconds in entries:
            if handle in held:
                held[handle].visible_at = now + max(seconds, MIN_DELAY_S)
        self._change()
        return [
            Failure(index, "ReceiptHandleIsInvalid", "no message in flight has this handle", sender_fault=True)
            for index, (handle, _) in enumerate(entries)
            if handle not in held
        ]

    async def send(self, queue_url: str, message: Outgoing) -> str:
        return self._store(queue_url, message)

    async def send_batch(self, queue_url: str, messages: Sequence[Outgoing]) -> BatchResult:
        return BatchResult({i: await self.send(queue_url, message) for i, message in enumerate(messages)}, ())

    async def publish(self, topic_arn: str, message: Outgoing) -> str:
        message_id = str(uuid4())
        for queue, link in self._subscriptions(topic_arn):
            if lets_pass(link, message.body, message.attributes):
                self._store(queue, message if link.raw else _enveloped(message, topic_arn, message_id))
        return message_id

    async def publish_batch(self, topic_arn: str, messages: Sequence[Outgoing]) -> BatchResult:
        return BatchResult({i: await self.publish(topic_arn, message) for i, message in enumerate(messages)}, ())

    async def queue_url(self, name: str, account: str | None) -> str:  # noqa: ARG002 - there is one account
        return _SCHEME + name

    async def queue_attributes(self, queue_url: str) -> dict[str, str]:
        queue = self._queue(queue_url)
        attributes = {"QueueArn": _REGION.format("sqs") + short_name(queue_url)}
        if queue.settings.visibility_timeout is not None:
            attributes["VisibilityTimeout"] = str(queue.settings.visibility_timeout)
        if queue.dead_letter and queue.max_receive_count:
            target = _REGION.format("sqs") + queue.dead_letter
            policy = {"deadLetterTargetArn": target, "maxReceiveCount": queue.max_receive_count}
            attributes["RedrivePolicy"] = json.dumps(policy)
        return attributes

    async def topic_arn(self, name: str) -> str:
        return _REGION.format("sns") + name

    async def reachable(self) -> bool:
        return True

    def _queue(self, queue: str) -> _Queue:
        name = short_name(queue)
        return self._queues.setdefault(name, _Queue(SQSQueue(name)))

    def _subscriptions(self, topic_arn: str) -> Iterator[tuple[str, TopicLink]]:
        topic = short_name(topic_arn)
        return ((queue, link) for linked, queue, link in self._links if linked == topic)

    def _store(self, name: str, message: Outgoing) -> str:
        queue, now = self._queue(name), self.now
        deduplication_id = _deduplication_id(queue.settings, message)
        if deduplication_id and (known := queue.deduplicated(deduplication_id, now)):
            return known
        delay_s = message.delay_s if message.delay_s is not None else queue.settings.delay or 0
        stored = _Stored(message.body, dict(message.attributes), message.group_id, now, now + delay_s)
        queue.messages.append(stored)
        self._change()
        if deduplication_id:
            queue.sent[deduplication_id] = now, stored.message_id
        return stored.message_id


def _deduplication_id(queue: SQSQueue, message: Outgoing) -> str | None:
    """Of a FIFO message, where SQS insists on it and on a group; None on standard queues."""
    if not queue.fifo:
        return None
    if not message.group_id:
        raise _refusal("MissingParameter", "The request must contain the parameter MessageGroupId.")
    if message.delay_s:
        raise _refusal("InvalidParameterValue", "A message of a FIFO queue has no delay of its own.")
    if message.deduplication_id:
        return message.deduplication_id
    if not queue.content_based_deduplication:
        raise _refusal("InvalidParameterValue", "Without ContentBasedDeduplication each message needs an id.")
    return hashlib.sha256(message.body.encode()).hexdigest()


def _refusal(code: str, reason: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": reason}}, "SendMessage")


def _envelope_value(attribute: Attribute) -> str:
    binary = attribute.get("BinaryValue")
    return attribute.get("StringValue", "") if binary is None else b64encode(binary).decode()


def _enveloped(message: Outgoing, topic_arn: str, message_id: str) -> Outgoing:
    """What SNS delivers when raw delivery is off."""
    envelope = {
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": topic_arn,
        "Subject": message.subject,
        "Message": message.body,
        "MessageAttributes": {
            name: {"Type": attribute["DataType"], "Value": _envelope_value(attribute)}
            for name, attribute in message.attributes.items()
        },
    }
    body = json.dumps({name: value for name, value in envelope.items() if value})
    return Outgoing(body, group_id=message.group_id, deduplication_id=message.deduplication_id)
