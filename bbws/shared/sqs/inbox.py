"""Where the answers to `request` arrive: one queue, polled only while somebody waits."""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any

from faststream.exceptions import IncorrectState

from . import wire
from .client import AWS_ERRORS, Client, error_code
from .limits import MAX_BATCH_ENTRIES, MAX_WAIT_TIME_S
from .message import ReceivedMessage
from .resolver import Resolver

# An answer that nobody here waits for: put back for another process, and thrown away when no one takes it.
_STRANGER_AWAY_S = 1
_STRANGER_RECEIVES = 50
_AFTER_FAILURE_S = 1.0
_log = logging.getLogger(__name__)


class Inbox:
    """Answers by correlation id. Safe to share between processes, quicker with a queue for each."""

    def __init__(self, client: Client, resolver: Resolver, queue: str) -> None:
        self.queue = queue
        self._client = client
        self._resolver = resolver
        self._waiting: dict[str, asyncio.Future[ReceivedMessage]] = {}
        self._polling: asyncio.Task[None] | None = None

    def expect(self, correlation_id: str) -> "asyncio.Future[ReceivedMessage]":
        """The answer to come; ValueError while another request waits under this id."""
        if correlation_id in self._waiting:
            raise ValueError(f"a request with correlation id {correlation_id} waits for its answer already")
        answer = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = answer
        answer.add_done_callback(lambda _: self._waiting.pop(correlation_id, None))
        return answer

    async def wait(self, answer: "asyncio.Future[ReceivedMessage]", timeout_s: float) -> ReceivedMessage:
        """The answer; TimeoutError when none came."""
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll_while_awaited())
        async with asyncio.timeout(timeout_s):
            return await answer

    async def close(self) -> None:
        """Nobody waits any more. What a cancelled receive takes here nobody would have read."""
        for answer in list(self._waiting.values()):
            answer.set_exception(IncorrectState("the broker stopped before the answer came"))
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])

    async def _poll_while_awaited(self) -> None:
        while self._waiting:
            try:
                await self.collect(MAX_WAIT_TIME_S)
            except AWS_ERRORS as error:
                _log.warning("cannot receive answers from %s: %s: %s", self.queue, error_code(error), error)
                await asyncio.sleep(_AFTER_FAILURE_S)

    async def collect(self, wait_s: int) -> None:
        """One receive: answers reach those who wait for them."""
        url = await self._resolver.queue_url(self.queue)
        received = await self._client.receive(
            url, max_messages=MAX_BATCH_ENTRIES, wait_s=wait_s, visibility_timeout_s=None
        )
        strangers = [raw for message in received if not self._give(raw := self._received(message))]
        put_back = [raw for raw in strangers if raw.receive_count < _STRANGER_RECEIVES]
        done = [message["ReceiptHandle"] for message in received if message["ReceiptHandle"] not in _handles(put_back)]
        if done:
            await self._client.delete_batch(url, done)
        if put_back:
            entries = [(handle, _STRANGER_AWAY_S) for handle in _handles(put_back)]
            await self._client.change_visibility_batch(url, entries)
            # Whoever asked shall be first at the queue when it comes again; without chance it could be us each time.
            await asyncio.sleep(random.uniform(0, 2 * _STRANGER_AWAY_S))  # noqa: S311 - no secret

    def _received(self, message: dict[str, Any]) -> ReceivedMessage:
        now = asyncio.get_running_loop().time()
        return ReceivedMessage(message, queue=self.queue, settler=Settled(), received_at=now)

    def _give(self, raw: ReceivedMessage) -> bool:
        correlation_id = wire.unpack(raw.get("MessageAttributes", {})).get(wire.CORRELATION_ID)
        answer = self._waiting.pop(str(correlation_id), None)
        if answer is None or answer.done():
            return False
        answer.set_result(raw)
        return True


def _handles(messages: Sequence[ReceivedMessage]) -> list[str]:
    return [raw.receipt_handle for raw in messages]


class Settled:
    """An answer is deleted as it arrives: nothing is left to do."""

    async def ack(self, raw: ReceivedMessage) -> None: ...

    async def nack(self, raw: ReceivedMessage, delay: float | None) -> None: ...

    async def reject(self, raw: ReceivedMessage, reason: str | None) -> None: ...

    async def extend(self, raw: ReceivedMessage, seconds: float) -> None: ...
