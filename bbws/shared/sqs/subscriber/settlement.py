"""The end of a message: deleted, given back, kept for another attempt, requeued, or moved to the dead letters."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

from faststream.exceptions import StopConsume

from ..backoff import Backoff, whole_seconds
from ..client import AWS_ERRORS
from ..delivery import State
from ..errors import PauseSubscriber, ReturnMessage, SettlementError, SQSError
from ..limits import MAX_DELAY_S, MAX_VISIBILITY_S
from ..message import ReceivedMessage
from ..outgoing import Outgoing
from ..payloads import Pointer
from .batching import Batcher
from .copies import MAX_TEXT_LENGTH, copy_with_count, dead_letter, describe
from .heartbeat import Heartbeat
from .resolved_queue import ResolvedQueue

_COUNTED_MESSAGES = 10_000
_RECALL_MARGIN_S = 1.0
_TRIAL_RECEIVES = 2
_COPY_TRIES = 3
_COPY_RETRY_S = 0.5
_MAX_COPY_RETRY_S = 10.0


class _Waiting(NamedTuple):
    """When the delay of a returned message ends, and how often it was received."""

    until: float
    receives: int


class Counted:
    """How often something happened to a message; of so many messages that an outage does not fill the memory."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, int] = OrderedDict()

    def __iter__(self) -> Iterator[str]:
        return iter(self._times)

    def get(self, message_id: str, default: int) -> int:
        return self._times.get(message_id, default) if self._times else default

    def add(self, message_id: str) -> None:
        self._times[message_id] = self._times.pop(message_id, 0) + 1
        if len(self._times) > _COUNTED_MESSAGES:
            self._times.popitem(last=False)

    def forget(self, message_id: str) -> None:
        if self._times:
            self._times.pop(message_id, None)


class Log(Protocol):
    """A line about the subscriber, or about one of its messages."""

    def __call__(self, level: int, text: str, raw: ReceivedMessage | None = None) -> None: ...


class Settler:
    """Settles each message once; whoever comes second finds it settled and does nothing.

    SQS moves a message to the dead letters, without a reason, when it is received once more after `maxReceiveCount`
    receives. So a message at its last delivery is never returned. On a standard queue a copy takes its place, in which
    SQS counts anew, and which says how often it has failed; on a FIFO queue, whose order a copy would break, it is
    buried with a reason. `keeps` says whether a message of a FIFO queue stays here for its next attempt, which costs no
    receive.
    """

    def __init__(
        self,
        queue: ResolvedQueue,
        heartbeat: Heartbeat,
        *,
        retry: Backoff,
        attempts: int | None,
        has_company: Callable[[], bool],
        keeps: Callable[[ReceivedMessage], bool],
        counts_receives: Callable[[], object],
        is_running: Callable[[], bool],
        is_stopping: Callable[[], bool],
        handler: Callable[[], str],
        log: Log,
    ) -> None:
        self._queue = queue
        self._heartbeat = heartbeat
        self._retry = retry
        self._attempts = attempts
        self._keeps = keeps
        self._counts_receives = counts_receives
        self._is_running = is_running
        self._is_stopping = is_stopping
        self._handler = handler
        self._log = log
        self._deletes = Batcher("delete", queue.delete, has_company)
        self._returns = Batcher("return", queue.change_visibility, has_company)
        # How often a message went back for no fault of its own, and for a failure; SQS counts both alike.
        self._excused = Counted()
        self._returned_failures = Counted()
        # Given back with a delay because a dependency is out.
        self._waiting: dict[str, _Waiting] = {}

    async def ack(self, raw: ReceivedMessage) -> None:
        """Deleted."""
        if not raw.end():
            return
        await self._delete(raw, State.DELETED)
        if raw.pointer is not None:
            await self._discard_payload(raw, raw.pointer)

    def ack_soon(self, raw: ReceivedMessage, ended: Callable[[ReceivedMessage, SettlementError | None], None]) -> bool:
        """Begin to delete it; `ended` is called when that is confirmed or has failed for good.

        False, and nothing done, where more than the delete has to be waited for, or it is settled already.
        """
        if not raw.is_open or raw.pointer is not None or not self._heartbeat.let_go(raw):
            return False
        raw.delete_soon()
        self._deletes.post(raw.receipt_handle, partial(self._deleted, raw, ended))
        return True

    def _deleted(
        self,
        raw: ReceivedMessage,
        ended: Callable[[ReceivedMessage, SettlementError | None], None],
        error: SettlementError | None,
    ) -> None:
        if error is None:
            self._forget(raw)
        raw.ended(State.DELETED if error is None else State.LEFT)
        ended(raw, error)

    async def _discard_payload(self, raw: ReceivedMessage, at: Pointer) -> None:
        try:
            await self._queue.discard_payload(at)
        except AWS_ERRORS as error:
            self._log(logging.WARNING, f"the body stays in s3://{at.bucket}/{at.key}: {error}", raw)

    async def nack(self, raw: ReceivedMessage, delay: float | None = None) -> None:
        """A failed attempt: another follows after `delay` or the back-off; the last one ends in the dead letters.

        What was raised because the time has not come, or the process stops, is no failure.
        """
        if not raw.end():
            return
        match raw.failure:
            case PauseSubscriber() | ReturnMessage() if self._keeps(raw):
                # What waits for a dependency is tried when that is well; the delay is for messages in the queue.
                raw.keep(_now() + (delay or 0 if isinstance(raw.failure, ReturnMessage) else 0), failed=False)
            case PauseSubscriber() | ReturnMessage():
                await self._excuse(raw, delay or 0)
            case StopConsume() | SystemExit():
                await self._excuse(raw, 0, stops=True)
            case _:
                await self._fail(raw, delay)

    async def reject(self, raw: ReceivedMessage, reason: str | None = None) -> None:
        """Moved to the dead letters."""
        if raw.end():
            await self._bury(raw, reason or describe(raw.failure) or "rejected without a reason")

    async def release(self, raw: ReceivedMessage, delay: float = 0, *, stops: bool = False) -> None:
        """Given back without having failed; `stops`: a stop has cut its handler off."""
        if not raw.end():
            return
        try:
            await self._excuse(raw, delay, stops=stops)
        except SettlementError as error:
            self._log(logging.WARNING, f"{error}; it is visible again when its timeout ends", raw)

    async def extend(self, raw: ReceivedMessage, seconds: float) -> None:
        """Invisible for `seconds` from now."""
        asked = _now()
        self._heartbeat.extended(raw, seconds)
        seconds = self._within_limit(raw, seconds)
        await self._returns.add((raw.receipt_handle, seconds))
        if raw.is_open:
            raw.leased_until = asked + seconds

    async def recall_one(self) -> None:
        """One message that waits for a dependency is visible now, to be tried.

        Only one that was received once: where the probe says well and the work fails, the same message must not be
        tried again and again.
        """
        fewest = min(self._waiting.items(), key=lambda waiting: waiting[1].receives, default=None)
        if fewest is not None and fewest[1].receives < _TRIAL_RECEIVES:
            await self._recall([fewest[0]])

    async def recall_all(self) -> None:
        """What waits for a dependency is visible now: the dependency is back before the delay has ended."""
        await self._recall(list(self._waiting))

    async def _recall(self, handles: Iterable[str]) -> None:
        # One that is visible already may be in other hands: its old receipt must not touch it.
        soonest = _now() + _RECALL_MARGIN_S
        recalled = [handle for handle in handles if self._waiting.pop(handle).until > soonest]
        ended = await asyncio.gather(*(self._returns.add((handle, 0)) for handle in recalled), return_exceptions=True)
        for error in filter(None, ended):
            self._log(logging.WARNING, f"{error}; the message is visible again when its delay ends")

    async def drain(self) -> None:
        """All settlements decided so far have reached SQS, or failed."""
        await self._deletes.drain()
        await self._returns.drain()

    def may_have_failed(self, raw: ReceivedMessage) -> bool:
        """Whether it is known to have failed, or was received before for reasons unknown, such as a crash."""
        return bool(self._failures(raw) or self._unexplained(raw))

    def _failures(self, raw: ReceivedMessage) -> int:
        """Attempts that failed before this one. On standard queues a receive that nobody explained was one."""
        return self._known_failures(raw) + (self._unexplained(raw) if self._counts_receives() else 0)

    def _known_failures(self, raw: ReceivedMessage) -> int:
        return raw.earlier_failures + raw.failures + self._returned_failures.get(raw.sqs_id, 0)

    def _unexplained(self, raw: ReceivedMessage) -> int:
        """Receives before this one of which this process knows nothing: failures elsewhere, crashes, returns."""
        known = self._excused.get(raw.sqs_id, 0) + self._returned_failures.get(raw.sqs_id, 0)
        return max(raw.sqs_receives - 1 - known, 0)

    def _failures_to_tell(self, raw: ReceivedMessage) -> int:
        """What a copy says. Others may have returned it once untouched: rather an attempt too many than one too few."""
        return self._known_failures(raw) + (max(self._unexplained(raw) - 1, 0) if self._counts_receives() else 0)

    def is_last(self, raw: ReceivedMessage) -> bool:
        """Whether SQS would bury it instead of delivering it once more."""
        limit = self._queue.max_receive_count
        return limit is not None and raw.sqs_receives >= limit

    async def _fail(self, raw: ReceivedMessage, delay: float | None) -> None:
        failed = self._failures(raw) + 1
        allowed = await self._allowed(raw)
        if allowed is not None and failed >= allowed:
            await self._bury(raw, f"failed {failed} times")
            return
        seconds = self._retry.delay(failed) if delay is None else delay
        if self.is_last(raw) and not self._keeps(raw):
            await self._end_last(raw, self._heartbeat.lease_s if seconds is None else seconds, failed)
        else:
            await self._try_again(raw, seconds)

    async def _try_again(self, raw: ReceivedMessage, seconds: float | None) -> None:
        """After so many seconds, or when its timeout has ended."""
        if self._keeps(raw):
            raw.keep(_now() + (self._heartbeat.lease_s if seconds is None else seconds), failed=True)
        else:
            self._returned_failures.add(raw.sqs_id)
            await self._return(raw, seconds)

    async def _allowed(self, raw: ReceivedMessage) -> int | None:
        """Attempts that may fail; None where nobody limits them, or the limit is not known."""
        try:
            allowed, limit = self._attempts or await self._queue.attempts(), self._queue.max_receive_count
            # Where each attempt is a receive, SQS's own limit is the lower of two.
            return min(filter(None, (allowed, limit if self._counts_receives() else None)), default=None)
        except AWS_ERRORS as error:
            # Unknown is not exhausted: another attempt does less harm than a wrong burial.
            self._log(logging.WARNING, f"cannot read the redrive policy: {error}", raw)
            return None

    async def _excuse(self, raw: ReceivedMessage, delay: float, *, stops: bool = False) -> None:
        """It comes again, and this receive is not counted against it."""
        if not raw.is_ours(_now()):
            # It comes again by itself, perhaps to others already.
            await self._heartbeat.drop(raw)
            raw.ended(State.LEFT)
        elif self.is_last(raw):
            await self._end_last(raw, delay, self._failures_to_tell(raw))
        elif not await self._needs_copy(raw, delay, stops=stops) or not await self._requeue(raw, delay):
            await self._return_excused(raw, delay)

    async def _needs_copy(self, raw: ReceivedMessage, delay: float, *, stops: bool) -> bool:
        """Whether a process that knows of no excuse would bury it at its next failure, too early.

        After its first receive it is returned all the same: it can be called back, and costs two requests less.
        """
        if self._queue.is_fifo or delay > MAX_DELAY_S:
            return False
        if stops or raw.sqs_receives == 1:
            return stops
        if raw.failure is None:
            return True
        allowed = await self._allowed(raw)
        return allowed is not None and self._failures(raw) + 1 < allowed <= raw.earlier_failures + raw.sqs_receives + 1

    async def _end_last(self, raw: ReceivedMessage, delay: float, failures: int) -> None:
        if self._queue.is_fifo or not await self._requeue(raw, min(delay, MAX_DELAY_S), failures):
            times = f"failed {failures} times" if failures else "never failed"
            await self._bury(raw, f"{times}; received {raw.sqs_receives} times, as often as the queue's policy allows")

    async def _return_excused(self, raw: ReceivedMessage, delay: float) -> None:
        self._excused.add(raw.sqs_id)
        await self._return(raw, delay)
        if delay > 0 and not isinstance(raw.failure, ReturnMessage):
            self._waiting[raw.receipt_handle] = _Waiting(_now() + delay, raw.sqs_receives)
            if self._is_running():
                # The others were called back while this one was still on its way to SQS.
                await self._recall([raw.receipt_handle])

    async def _return(self, raw: ReceivedMessage, seconds: float | None) -> None:
        """Visible after so many seconds, or when its timeout ends."""
        await self._heartbeat.drop(raw)
        # Who has it after its lease must not lose it by our receipt.
        if seconds is None or not raw.is_ours(_now()):
            raw.ended(State.LEFT)
            return
        try:
            await self._returns.add((raw.receipt_handle, self._within_limit(raw, seconds)))
        except SettlementError:
            raw.ended(State.LEFT)
            raise
        raw.ended(State.RETURNED)

    def _within_limit(self, raw: ReceivedMessage, seconds: float) -> int:
        left = MAX_VISIBILITY_S - (_now() - raw.received_at)
        return min(whole_seconds(seconds), max(int(left), 0))

    async def _requeue(self, raw: ReceivedMessage, delay: float, failures: int | None = None) -> bool:
        """A copy is in its place; False, and nothing done, where none could be sent."""
        failures = self._failures_to_tell(raw) if failures is None else failures
        copy = copy_with_count(raw, failures=failures, delay_s=whole_seconds(delay))
        if copy is None or not raw.is_ours(_now()):
            return False
        # Copy, then delete: a crash in between makes a second message; the other order would lose it.
        try:
            await self._sent(raw, lambda: self._send_to_its_queue(copy))
        except AWS_ERRORS as error:
            self._log(logging.WARNING, f"cannot send a copy to its queue: {error}", raw)
            return False
        await self._delete(raw, State.REQUEUED)
        return True

    async def _send_to_its_queue(self, copy: Outgoing) -> bool:
        await self._queue.client.send((await self._queue.facts()).url, copy)
        return True

    async def _bury(self, raw: ReceivedMessage, reason: str) -> None:
        reason = reason[:MAX_TEXT_LENGTH]
        # Copy, then delete, as above.
        try:
            copied = await self._sent(raw, lambda: self._send_to_dead_letters(raw, reason))
        except (*AWS_ERRORS, SQSError) as error:
            self._log(logging.ERROR, f"cannot copy to the dead-letter queue, message returns: {error}", raw)
            await self._try_again(raw, self._retry.delay(self._failures(raw) + 1))
            return
        if copied:
            self._log(logging.WARNING, f"moved to the dead-letter queue: {reason}", raw)
        else:
            self._log(logging.ERROR, f"deleted, there is no dead-letter queue: {reason}; body: {raw['Body']}", raw)
        await self._delete(raw, State.BURIED)

    async def _sent(self, raw: ReceivedMessage, send: Callable[[], Awaitable[bool]]) -> bool:
        """What `send` answers. At the last delivery it is tried as long as the lease lasts and nobody stops us."""
        tries = 0
        while True:
            try:
                return await send()
            except AWS_ERRORS:
                tries += 1
                goes_on = self.is_last(raw) and not self._is_stopping() and raw.is_ours(_now())
                if tries >= _COPY_TRIES and not goes_on:
                    raise
                await asyncio.sleep(min(_COPY_RETRY_S * max(tries - 1, 1), _MAX_COPY_RETRY_S))

    async def _send_to_dead_letters(self, raw: ReceivedMessage, reason: str) -> bool:
        """False when the queue has no dead-letter queue."""
        url = await self._queue.dead_letter_url()
        if url is None:
            return False
        letter = dead_letter(raw, reason=reason, handler=self._handler(), fifo=url.endswith(".fifo"))
        await self._queue.client.send(url, letter)
        return True

    async def _delete(self, raw: ReceivedMessage, how: State) -> None:
        await self._heartbeat.drop(raw)
        try:
            await self._deletes.add(raw.receipt_handle)
        except SettlementError:
            raw.ended(State.LEFT)
            raise
        self._forget(raw)
        raw.ended(how)

    def _forget(self, raw: ReceivedMessage) -> None:
        self._excused.forget(raw.sqs_id)
        self._returned_failures.forget(raw.sqs_id)


def _now() -> float:
    return asyncio.get_running_loop().time()
