"""A subscriber's queue as AWS knows it: name, URL, attributes, dead-letter queue."""

from collections.abc import Sequence

from ..broker.config import SQSBrokerConfig
from ..client import Client, Failure
from ..payloads import Pointer
from ..resolver import QueueFacts
from ..schemas import SQSQueue, prefixed


class ResolvedQueue:
    """Resolved at first use, because a router gets its broker late and a queue may be made after the start."""

    def __init__(self, queue: SQSQueue, outer: SQSBrokerConfig) -> None:
        self.queue = queue
        self._outer = outer
        self._facts: QueueFacts | None = None

    @property
    def name(self) -> str:
        """The queue's name under the prefixes of its routers."""
        return prefixed(self.queue.name, self._outer.prefix)

    @property
    def client(self) -> Client:
        """The broker's client; IncorrectState before `connect`."""
        return self._outer.client

    async def facts(self) -> QueueFacts:
        """URL, visibility timeout and redrive policy, asked once."""
        if self._facts is None:
            self._facts = await self._outer.resolver.facts(self.name)
        return self._facts

    def forget(self) -> None:
        """Ask the service again next time."""
        self._facts = None
        self._outer.resolver.forget(self.name)

    async def delete(self, receipt_handles: Sequence[str]) -> Sequence[Failure]:
        """One DeleteMessageBatch."""
        return await self.client.delete_batch((await self.facts()).url, receipt_handles)

    async def change_visibility(self, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        """One ChangeMessageVisibilityBatch."""
        return await self.client.change_visibility_batch((await self.facts()).url, entries)

    async def discard_payload(self, at: Pointer) -> None:
        """The body in S3 of a message that was handled goes where the bucket is configured so."""
        if payloads := self._outer.payloads:
            await payloads.handled(at)

    async def dead_letter_url(self) -> str | None:
        """The queue for dead letters: the declared one, or the target of the redrive policy as it is now."""
        if declared := self.queue.dead_letter_queue:
            return await self._outer.resolver.queue_url(prefixed(declared.name, self._outer.prefix))
        if (await self.facts()).dead_letter_arn is None:
            # Messages are about to be destroyed for want of one: look again first.
            self.forget()
        arn = (await self.facts()).dead_letter_arn
        return None if arn is None else await self._outer.resolver.queue_url(arn)

    async def attempts(self) -> int | None:
        """How often SQS itself would deliver a message."""
        return self.queue.max_receive_count or (await self.facts()).max_receive_count
