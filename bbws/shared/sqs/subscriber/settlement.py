"""The end of a message: deleted, given back, or moved to the dead letters."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, Protocol

from faststream.exceptions import StopConsume

from ..backoff import Backoff, whole_seconds
from ..client import AWS_ERRORS
from ..errors import PauseSubscriber, ReturnMessage, SettlementError, SQSError
from ..limits import MAX_VISIBILITY_S
from ..message import ReceivedMessage
from ..payloads import Pointer
from .batching import Batcher, Ended
from .dead_lettering import dead_letter, describe
from .heartbeat import Heartbeat
from .resolved_queue import ResolvedQueue

_EXCUSED_MESSAGES = 10_000
_RECALL_MARGIN_S = 1.0
_TRIAL_RECEIVES = 2
_COPY_TRIES = 3
_COPY_RETRY_S = 0.5


class _Waiting(NamedTuple):
    """When the delay of a returned message ends, and how often it was received."""

    until: float
    receives: int


class Log(Protocol):
    """A line about the subscriber, or about one of its messages."""

    def __call__(self, level: int, text: str, raw: ReceivedMessage | None = None) -> None: ...


class Settler:
    """Settles each message once; whoever comes second finds it settled and does nothing."""

    def __init__(
        self,
        queue: ResolvedQueue,
        heartbeat: Heartbeat,
        *,
        retry: Backoff,
        attempts: int | None,
        has_company: Callable[[], bool],
        is_running: Callable[[], bool],
        handler: Callable[[], str],
        log: Log,
    ) -> None:
        self._queue = queue
        self._heartbeat = heartbeat
        self._retry = retry
        self._attempts = attempts
        self._is_running = is_running
        self._handler = handler
        self._log = log
        self._deletes = Batcher("delete", queue.delete, has_company)
        self._returns = Batcher("return", queue.change_visibility, has_company)
        # How often a message came back for no fault of its own; SQS counts those receives too.
        self._excused: OrderedDict[str, int] = OrderedDict()
        # Given back with a delay because a dependency is out.
        self._waiting: dict[str, _Waiting] = {}

    async def ack(self, raw: ReceivedMessage) -> None:
        """Deleted."""
        if not self._take(raw):
            return
        await self._delete(raw)
        if raw.pointer is not None:
            await self._discard_payload(raw, raw.pointer)

    def ack_soon(self, raw: ReceivedMessage, ended: Ended) -> bool:
        """Begin to delete it; `ended` is called when that is confirmed or has failed for good.

        False, and nothing done, where more than the delete has to be waited for, or it is settled already.
        """
        if raw.settled or raw.pointer is not None or not self._heartbeat.let_go(raw):
            return False
        raw.settled = raw.leaving = True
        self._deletes.post(raw.receipt_handle, partial(self._deleted, raw, ended))
        return True

    def _deleted(self, raw: ReceivedMessage, ended: Ended, error: SettlementError | None) -> None:
        if error is None:
            self._forget(raw)
        ended(error)

    async def _discard_payload(self, raw: ReceivedMessage, at: Pointer) -> None:
        try:
            await self._queue.discard_payload(at)
        except AWS_ERRORS as error:
            self._log(logging.WARNING, f"the body stays in s3://{at.bucket}/{at.key}: {error}", raw)

    async def nack(self, raw: ReceivedMessage, delay: float | None = None) -> None:
        """Returned after `delay` or the back-off; the last allowed attempt is moved to the dead letters."""
        if not self._take(raw):
            return
        if isinstance(raw.failure, PauseSubscriber | ReturnMessage):
            await self._return_excused(raw, delay or 0)
        elif isinstance(raw.failure, StopConsume | SystemExit):
            await self._return_excused(raw, 0)
        elif await self._is_exhausted(raw):
            await self._bury(raw, f"failed {self._count(raw)} times")
        else:
            await self._return_failed(raw, delay)

    async def reject(self, raw: ReceivedMessage, reason: str | None = None) -> None:
        """Moved to the dead letters."""
        if self._take(raw):
            await self._bury(raw, reason or describe(raw.failure) or "rejected without a reason")

    async def release(self, raw: ReceivedMessage, delay: float = 0) -> None:
        """Given back untouched; this receive is not counted against it."""
        if not self._take(raw):
            return
        try:
            await self._return_excused(raw, delay)
        except SettlementError as error:
            self._log(logging.WARNING, f"{error}; it is visible again when its timeout ends", raw)

    async def extend(self, raw: ReceivedMessage, seconds: float) -> None:
        """Invisible for `seconds` from now."""
        self._heartbeat.extended(raw, seconds)
        await self._returns.add((raw.receipt_handle, self._within_limit(raw, seconds)))

    async def recall_one(self) -> None:
        """One message that waits for a dependency is visible now, to be tried.

        Only one that was received once: where the probe says well and the work fails, the same message must not be
        tried until SQS itself has had enough of it.
        """
        fewest = min(self._waiting.items(), key=lambda waiting: waiting[1].receives, default=None)
        if fewest is not None and fewest[1].receives < _TRIAL_RECEIVES:
            await self._recall([fewest[0]])

    async def recall_all(self) -> None:
        """What waits for a dependency is visible now: the dependency is back before the delay has ended."""
        await self._recall(list(self._waiting))

    async def _recall(self, handles: Iterable[str]) -> None:
        # One that is visible already may be in other hands: its old receipt must not touch it.
        soonest = asyncio.get_running_loop().time() + _RECALL_MARGIN_S
        recalled = [handle for handle in handles if self._waiting.pop(handle).until > soonest]
        ended = await asyncio.gather(*(self._returns.add((handle, 0)) for handle in recalled), return_exceptions=True)
        for error in filter(None, ended):
            self._log(logging.WARNING, f"{error}; the message is visible again when its delay ends")

    async def drain(self) -> None:
        """All settlements decided so far have reached SQS, or failed."""
        await self._deletes.drain()
        await self._returns.drain()

    def _take(self, raw: ReceivedMessage) -> bool:
        if raw.settled:
            return False
        raw.settled = True
        return True

    def failures(self, raw: ReceivedMessage) -> int:
        """How often it has failed before."""
        return self._count(raw) - 1

    def _count(self, raw: ReceivedMessage) -> int:
        return max(raw.receive_count - self._excused.get(raw.message_id, 0), 1)

    async def _is_exhausted(self, raw: ReceivedMessage) -> bool:
        try:
            allowed = self._attempts or await self._queue.attempts()
        except AWS_ERRORS as error:
            # Unknown is not exhausted: another attempt does less harm than a wrong burial.
            self._log(logging.WARNING, f"cannot read the redrive policy: {error}", raw)
            return False
        return allowed is not None and self._count(raw) >= allowed

    async def _delete(self, raw: ReceivedMessage) -> None:
        await self._heartbeat.drop(raw)
        await self._deletes.add(raw.receipt_handle)
        self._forget(raw)

    def _forget(self, raw: ReceivedMessage) -> None:
        raw.gone = True
        self._excused.pop(raw.message_id, None)

    async def _return_failed(self, raw: ReceivedMessage, delay: float | None) -> None:
        seconds = self._retry.delay(self._count(raw)) if delay is None else delay
        await self._heartbeat.drop(raw)
        now = asyncio.get_running_loop().time()
        raw.away_until = now + (seconds or 0)
        if seconds is not None:
            await self._returns.add((raw.receipt_handle, self._within_limit(raw, seconds)))

    async def _return_excused(self, raw: ReceivedMessage, delay: float) -> None:
        self._excused[raw.message_id] = self._excused.pop(raw.message_id, 0) + 1
        if len(self._excused) > _EXCUSED_MESSAGES:
            self._excused.popitem(last=False)
        await self._return_failed(raw, delay)
        if delay > 0 and not isinstance(raw.failure, ReturnMessage):
            until = asyncio.get_running_loop().time() + delay
            self._waiting[raw.receipt_handle] = _Waiting(until, raw.receive_count)
            if self._is_running():
                # The others were called back while this one was still on its way to SQS.
                await self._recall([raw.receipt_handle])

    def _within_limit(self, raw: ReceivedMessage, seconds: float) -> int:
        left = MAX_VISIBILITY_S - (asyncio.get_running_loop().time() - raw.received_at)
        return min(whole_seconds(seconds), max(int(left), 0))

    async def _bury(self, raw: ReceivedMessage, reason: str) -> None:
        # Copy, then delete: a crash in between makes a second copy; the other order would lose the message.
        try:
            copied = await self._copy(raw, reason)
        except (*AWS_ERRORS, SQSError) as error:
            self._log(logging.ERROR, f"cannot copy to the dead-letter queue, message returns: {error}", raw)
            await self._return_failed(raw, None)
            return
        if copied:
            self._log(logging.WARNING, f"moved to the dead-letter queue: {reason}", raw)
        else:
            self._log(logging.ERROR, f"deleted, there is no dead-letter queue: {reason}; body: {raw['Body']}", raw)
        await self._delete(raw)

    async def _copy(self, raw: ReceivedMessage, reason: str) -> bool:
        """False when the queue has no dead-letter queue."""
        for last_try in (False,) * (_COPY_TRIES - 1) + (True,):
            try:
                return await self._send_copy(raw, reason)
            except AWS_ERRORS:
                if last_try:
                    raise
                await asyncio.sleep(_COPY_RETRY_S)
        return False

    async def _send_copy(self, raw: ReceivedMessage, reason: str) -> bool:
        url = await self._queue.dead_letter_url()
        if url is None:
            return False
        letter = dead_letter(raw, reason=reason, handler=self._handler(), fifo=url.endswith(".fifo"))
        await self._queue.client.send(url, letter)
        return True
