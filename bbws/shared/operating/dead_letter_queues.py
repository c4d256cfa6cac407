"""Looking into the dead-letter queues without taking anything out.

Each look receives the first 1,000 letters of a queue, which hides them from other readers, and gives them back.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bbws.shared.errors import NotFound
from bbws.shared.integrations.queues import Queues
from bbws.shared.operating.dead_letter import DeadLetter
from bbws.shared.operating.dead_letter_choice import Choice
from bbws.shared.topology import Topology

# Letters are hidden for so long while they are looked at; a look that dies gives them back after it.
HOLD_S = 120
BATCH = 10
# More than this many are not held at once: receiving them would outlast the holding of the first.
MAX_HELD = 1000
# A long poll, however short, asks all of SQS's servers: what it does not find is not there.
LONG_POLL_S = 1


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """`source` is the queue whose messages die here; None: a rule's, which takes events that were not delivered."""

    name: str
    source: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """`by_reason` counts (reason, contract) pairs among the first 1,000, most frequent first."""

    queue: str
    depth: int
    oldest: datetime | None
    by_reason: Sequence[tuple[tuple[str, str], int]]


class HeldLetters:
    """Letters of one queue that nobody else sees, from the first receive on."""

    def __init__(self, sqs: Queues, queue: DeadLetterQueue, letters: dict[str, DeadLetter]) -> None:
        self._sqs = sqs
        self._queue = queue
        self._letters = letters
        self._hidden_at = time.monotonic()

    def chosen(self, choice: Choice) -> list[DeadLetter]:
        """Oldest first."""
        chosen = (letter for letter in self._letters.values() if choice.takes(letter.id, letter.reason))
        return sorted(chosen, key=lambda letter: letter.sent_at)

    async def hold_on(self) -> None:
        """They stay hidden: whoever works on them for longer than `HOLD_S` says so now and then."""
        if time.monotonic() - self._hidden_at > HOLD_S / 2:
            self._hidden_at = time.monotonic()
            await self._hide(HOLD_S)

    async def give_back(self) -> None:
        await self._hide(0)

    async def delete(self, letter: DeadLetter) -> None:
        await self._sqs.call("delete_message", self._queue.name, ReceiptHandle=letter.receipt_handle)
        del self._letters[letter.id]

    async def _hide(self, seconds: int) -> None:
        letters = list(self._letters.values())
        for start in range(0, len(letters), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": seconds}
                for number, letter in enumerate(letters[start : start + BATCH])
            ]
            await self._sqs.call("change_message_visibility_batch", self._queue.name, Entries=entries)


class DeadLetterQueues:
    """`wait_s` is how long a receive may wait; with 0, which is for emulators, AWS asks only some of its servers.

    All of it raises Unavailable while SQS is out of reach, and NotFound for a queue that topology does not declare.
    """

    def __init__(self, sqs: Queues, topology: Topology, *, wait_s: int = LONG_POLL_S) -> None:
        self._sqs = sqs
        self._wait_s = min(wait_s, LONG_POLL_S)
        queues = [DeadLetterQueue(queue.dead_letter_name, queue.name) for queue in topology.queues]
        queues += [DeadLetterQueue(rule.dead_letter_queue, None) for rule in topology.rules]
        self._queues = sorted(queues, key=lambda queue: queue.name)

    def get(self, name: str) -> DeadLetterQueue:
        """By its name, with or without `-dlq`."""
        for queue in self._queues:
            if queue.name.removesuffix("-dlq") == name.removesuffix("-dlq"):
                return queue
        known = ", ".join(queue.name.removesuffix("-dlq") for queue in self._queues)
        raise NotFound(f"there is no queue {name}; there are {known}")

    async def summaries(self) -> list[Summary]:
        return await asyncio.gather(*map(self._summary, self._queues))

    async def find(self, queue_name: str, choice: Choice) -> list[DeadLetter]:
        """Those chosen, oldest first; all are visible again afterwards."""
        async with self.held(self.get(queue_name)) as held:
            return held.chosen(choice)

    @asynccontextmanager
    async def held(self, queue: DeadLetterQueue) -> AsyncIterator[HeldLetters]:
        """The letters of a queue, hidden from others meanwhile; those that are not taken out are given back."""
        letters: dict[str, DeadLetter] = {}
        held = HeldLetters(self._sqs, queue, letters)
        try:
            while len(letters) < MAX_HELD and (received := await self._receive(queue.name)):
                # SQS may deliver one twice; the newest receipt is the one that counts.
                letters |= {letter.id: letter for letter in received}
            yield held
        finally:
            await held.give_back()

    async def send(self, queue_name: str, body: str, attributes: dict[str, Any]) -> str:
        """The id of the message that is in the queue now."""
        answer = await self._sqs.call("send_message", queue_name, MessageBody=body, MessageAttributes=attributes)
        message_id: str = answer["MessageId"]
        return message_id

    async def _summary(self, queue: DeadLetterQueue) -> Summary:
        counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        answer = await self._sqs.call("get_queue_attributes", queue.name, AttributeNames=list(counts))
        depth = sum(int(answer["Attributes"][count]) for count in counts)
        async with self.held(queue) as held:
            letters = held.chosen(Choice())
        reasons = Counter((letter.reason, letter.schema) for letter in letters)
        oldest = letters[0].sent_at if letters else None
        return Summary(queue.name, max(depth, len(letters)), oldest, reasons.most_common())

    async def _receive(self, queue_name: str) -> list[DeadLetter]:
        answer = await self._sqs.call(
            "receive_message",
            queue_name,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=HOLD_S,
            WaitTimeSeconds=self._wait_s,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return [DeadLetter.received(queue_name, message) for message in answer.get("Messages", ())]
