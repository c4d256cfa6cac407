"""One timer that keeps all messages in flight invisible to others."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from ..client import Failure, in_batches
from ..limits import MAX_VISIBILITY_S
from ..message import ReceivedMessage

_Extend = Callable[[Sequence[tuple[str, int]]], Awaitable[Sequence[Failure]]]
_Log = Callable[[str], None]


class Heartbeat:
    """Extends what it holds at half of `lease_s`, in batches, until twelve hours after the receive."""

    def __init__(self, extend: _Extend, *, log: _Log) -> None:
        self._extend = extend
        self._log = log
        self.lease_s = 0.0
        self._next_at = math.inf
        self._held: set[ReceivedMessage] = set()
        self._wake = asyncio.Event()
        self._beating = asyncio.Lock()

    def hold(self, raw: ReceivedMessage, lease_s: float) -> None:
        """Extend this message from now on; the newest `lease_s`, with which it was received, is that of all."""
        self.lease_s = lease_s
        raw.extend_at = raw.received_at + lease_s / 2
        self._held.add(raw)
        if raw.extend_at < self._next_at:
            self._wake.set()

    async def drop(self, raw: ReceivedMessage) -> None:
        """No extension of this message is under way or will come."""
        if raw not in self._held:
            return
        self._held.discard(raw)
        async with self._beating:
            pass

    def let_go(self, raw: ReceivedMessage) -> bool:
        """As `drop` where there is nothing to wait for; False, and nothing done, where an extension is under way."""
        if self._beating.locked():
            return False
        self._held.discard(raw)
        return True

    def extended(self, raw: ReceivedMessage, seconds: float) -> None:
        """Somebody else set its timeout to `seconds` from now."""
        if raw in self._held:
            raw.extend_at = _now() + max(seconds - self.lease_s / 2, seconds / 2)
            if raw.extend_at < self._next_at:
                self._wake.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self._until_due()
            async with self._beating:
                await self._beat()

    async def _until_due(self) -> None:
        while True:
            self._next_at = min((raw.extend_at for raw in self._held), default=math.inf)
            wait_s = self._next_at - _now()
            if wait_s <= 0:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(wait_s if self._held else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _beat(self) -> None:
        # Those due soon come along: one call for all instead of one for each.
        horizon = _now() + self.lease_s / 4
        due = [raw for raw in self._held if raw.extend_at <= horizon]
        for batch in in_batches([raw for raw in due if self._may_be_extended(raw)]):
            await self._extend_batch(batch)

    def _may_be_extended(self, raw: ReceivedMessage) -> bool:
        if self._seconds_left(raw) <= 0:
            self._held.discard(raw)
            self._log(f"message {raw.message_id} is in work for twelve hours, SQS extends it no further")
            return False
        if not raw.is_ours(_now()):
            # Others may have it by now: it is theirs that would be extended.
            self._lost(raw, "its visibility timeout has ended")
            return False
        return True

    def _seconds_left(self, raw: ReceivedMessage) -> int:
        """What may be asked for: the lease, but not beyond SQS's twelve hours."""
        left = MAX_VISIBILITY_S - (_now() - raw.received_at)
        return min(math.ceil(self.lease_s), math.floor(left))

    async def _extend_batch(self, batch: Sequence[ReceivedMessage]) -> None:
        started = _now()
        seconds = [self._seconds_left(raw) for raw in batch]
        try:
            failures = await self._extend([(raw.receipt_handle, s) for raw, s in zip(batch, seconds, strict=True)])
        except Exception as error:  # noqa: BLE001 - without a heartbeat every message in work is handled twice
            self._log(f"heartbeat failed, trying again: {error}")
            self._again_soon(batch)
            return
        refused = {failure.index: failure for failure in failures}
        for index, raw in enumerate(batch):
            if index in refused:
                self._refused(raw, refused[index])
            else:
                raw.extend_at = started + self.lease_s / 2
                raw.leased_until = started + seconds[index]

    def _refused(self, raw: ReceivedMessage, failure: Failure) -> None:
        if failure.sender_fault:
            self._lost(raw, failure.reason)
        else:
            self._again_soon([raw])

    def _lost(self, raw: ReceivedMessage, why: str) -> None:
        self._held.discard(raw)
        raw.lose()
        self._log(f"message {raw.message_id} is lost to this consumer and may be handled twice: {why}")

    def _again_soon(self, batch: Sequence[ReceivedMessage]) -> None:
        for raw in batch:
            raw.extend_at = _now() + self.lease_s / 8


def _now() -> float:
    return asyncio.get_running_loop().time()
