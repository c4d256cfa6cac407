"""SQS and SNS in memory, for the test broker.

Queues and topics exist as soon as they are named. Time stands still: delays do not delay, and a message that a
handler gave back waits until `make_visible`. Receive counts, receipt handles, redrive policies, subscriptions with
their filters and SNS's envelope are those of AWS.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

from .client import BatchResult, Failure
from .filters import lets_pass
from .schemas import SQSQueue, TopicLink, prefixed, short_name
from .wire import Attribute, Outgoing

_SCHEME = "memory://"
_REGION = "arn:aws:{}:memory:000000000000:"


@dataclass
class _Stored:
    body: str
    attributes: dict[str, Attribute]
    group_id: str | None
    message_id: str = field(default_factory=lambda: str(uuid4()))
    sent_ms: int = field(default_factory=lambda: int(time.time() * 1000))
    receive_count: int = 0
    handle: str = ""
    visible: bool = True

    def as_received(self) -> dict[str, Any]:
        """As ReceiveMessage answers."""
        system = {
            "ApproximateReceiveCount": str(self.receive_count),
            "SentTimestamp": str(self.sent_ms),
            "ApproximateFirstReceiveTimestamp": str(self.sent_ms),
        }
        if self.group_id:
            system["MessageGroupId"] = self.group_id
        return {
            "MessageId": self.message_id,
            "ReceiptHandle": self.handle,
            "Body": self.body,
            "Attributes": system,
            "MessageAttributes": self.attributes,
        }


@dataclass
class _Queue:
    settings: SQSQueue
    dead_letter: str | None = None
    messages: list[_Stored] = field(default_factory=list)

    @property
    def max_receive_count(self) -> int | None:
        return self.settings.max_receive_count if self.dead_letter else None


class MemoryService:
    """`Client` without AWS."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._links: list[tuple[str, str, TopicLink]] = []
        self._handles = count(1)

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
            self._queues[name] = _Queue(queue, dead_letter, known.messages if known else [])
            self._links = [link for link in self._links if link[1] != name]
            self._links += [(short_name(prefixed(t.target.name, prefix)), name, t) for t in queue.topics]

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """All messages of a queue as a receive would show them, in flight or not."""
        return [stored.as_received() for stored in self._queue(queue).messages]

    def make_visible(self, queue: str) -> None:
        """As if every back-off, delay and visibility timeout had passed."""
        for stored in self._queue(queue).messages:
            stored.visible = True

    async def receive(
        self,
        queue_url: str,
        *,
        max_messages: int,
        wait_s: int,  # noqa: ARG002 - nothing comes by waiting
        visibility_timeout_s: int | None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        queue = self._queue(queue_url)
        self._redrive(queue)
        taken = [stored for stored in queue.messages if stored.visible][:max_messages]
        for stored in taken:
            stored.visible = False
            stored.receive_count += 1
            stored.handle = f"handle-{next(self._handles)}"
        return [stored.as_received() for stored in taken]

    def _redrive(self, queue: _Queue) -> None:
        """What was received too often moves, as SQS does it at the next receive: with its attributes and no reason."""
        limit = queue.max_receive_count
        if limit is None or queue.dead_letter is None:
            return
        spent = [stored for stored in queue.messages if stored.visible and stored.receive_count >= limit]
        for stored in spent:
            queue.messages.remove(stored)
            self._queue(queue.dead_letter).messages.append(stored)

    async def delete_batch(self, queue_url: str, receipt_handles: Sequence[str]) -> Sequence[Failure]:
        queue = self._queue(queue_url)
        queue.messages = [stored for stored in queue.messages if stored.handle not in receipt_handles]
        return ()

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        known = {stored.handle for stored in self._queue(queue_url).messages}
        return [
            Failure(index, "ReceiptHandleIsInvalid", "no message has this handle", sender_fault=True)
            for index, (handle, _) in enumerate(entries)
            if handle not in known
        ]

    async def send(self, queue_url: str, message: Outgoing) -> str:
        return self._store(queue_url, message.body, message.attributes, message.group_id)

    async def send_batch(self, queue_url: str, messages: Sequence[Outgoing]) -> BatchResult:
        return BatchResult({i: await self.send(queue_url, message) for i, message in enumerate(messages)}, ())

    async def publish(self, topic_arn: str, message: Outgoing) -> str:
        message_id = str(uuid4())
        for queue, link in self._subscriptions(topic_arn):
            if lets_pass(link, message.body, message.attributes):
                wrapped = message if link.raw else _enveloped(message, topic_arn, message_id)
                self._store(queue, wrapped.body, wrapped.attributes, message.group_id)
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

    def _store(self, queue: str, body: str, attributes: Mapping[str, Attribute], group_id: str | None) -> str:
        stored = _Stored(body, dict(attributes), group_id)
        self._queue(queue).messages.append(stored)
        return stored.message_id


def _enveloped(message: Outgoing, topic_arn: str, message_id: str) -> Outgoing:
    """What SNS delivers when raw delivery is off."""
    envelope = {
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": topic_arn,
        "Subject": message.subject,
        "Message": message.body,
        "MessageAttributes": {
            name: {"Type": attribute["DataType"], "Value": attribute.get("StringValue", "")}
            for name, attribute in message.attributes.items()
        },
    }
    return Outgoing(json.dumps({name: value for name, value in envelope.items() if value}))
