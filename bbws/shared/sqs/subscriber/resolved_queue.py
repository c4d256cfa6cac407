"""A subscriber's queue as AWS knows it: name, URL, attributes, dead-letter queue."""

import asyncio
from collections.abc import Sequence

from ..broker.config import SQSBrokerConfig
from ..client import AWS_ERRORS, Client, Failure, is_queue_gone
from ..payloads import Pointer
from ..resolver import QueueFacts
from ..schemas import SQSQueue, prefixed

# Settings of a queue change while consumers run; each look is a request.
_FRESH_S = 120.0


class ResolvedQueue:
    """Resolved at first use, because a router gets its broker late and a queue may be made after the start."""

    def __init__(self, queue: SQSQueue, outer: SQSBrokerConfig) -> None:
        self.queue = queue
        self._outer = outer
        self._facts: QueueFacts | None = None
        self._stale_at = 0.0
        self._last_limit: int | None = None

    @property
    def name(self) -> str:
        """The queue's name under the prefixes of its routers."""
        return prefixed(self.queue.name, self._outer.prefix)

    @property
    def client(self) -> Client:
        """The broker's client; IncorrectState before `connect`."""
        return self._outer.client

    @property
    def is_fifo(self) -> bool:
        return self.queue.fifo

    @property
    def max_receive_count(self) -> int | None:
        """How often SQS delivers a message before it moves it to the dead letters itself, as far as is known."""
        return self._last_limit

    async def facts(self) -> QueueFacts:
        """URL, visibility timeout and redrive policy, not older than two minutes where the service answers."""
        now = asyncio.get_running_loop().time()
        if self._facts is None or now >= self._stale_at:
            self._stale_at = now + _FRESH_S
            await self._ask()
        assert self._facts is not None
        return self._facts

    async def _ask(self) -> None:
        try:
            self._facts = await self._outer.resolver.facts(self.name)
        except AWS_ERRORS as error:
            # What was true two minutes ago does for now; a queue that is gone is another matter.
            if self._facts is None or is_queue_gone(error):
                self._facts = None
                raise
        else:
            self._last_limit = self._facts.max_receive_count

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
