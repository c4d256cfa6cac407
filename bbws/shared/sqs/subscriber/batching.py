"""Single settlements gathered into calls of up to ten."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..client import Failure, error_code, in_batches
from ..errors import SettlementError
from ..limits import BATCH_ENTRIES

E = TypeVar("E")

LINGER_S = 0.05
_TRIES = 4
_RETRY_S = 0.1  # doubled each time


@dataclass
class _Entry(Generic[E]):
    value: E
    confirmed: asyncio.Future[None]
    failure: Failure


class Batcher(Generic[E]):
    """`add` returns when SQS confirmed its own entry.

    A call leaves with ten entries, after 50 ms, or at once when `company()` says that no other entry can come.
    Refused entries are tried again, except those that SQS would refuse again.
    """

    def __init__(
        self,
        action: str,
        send: Callable[[Sequence[E]], Awaitable[Sequence[Failure]]],
        company: Callable[[], bool],
    ) -> None:
        self._action = action
        self._send = send
        self._company = company
        self._waiting: list[_Entry[E]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def add(self, value: E) -> None:
        """Confirmed when it returns; raises SettlementError with SQS's reason when it never was."""
        loop = asyncio.get_running_loop()
        entry = _Entry(value, loop.create_future(), Failure(0, "Unknown", "not tried", sender_fault=False))
        self._waiting.append(entry)
        if len(self._waiting) >= BATCH_ENTRIES or not self._company():
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(LINGER_S, self._flush)
        await entry.confirmed

    async def drain(self) -> None:
        """Everything added so far is confirmed or has failed."""
        self._flush()
        if self._calls:
            await asyncio.wait(self._calls)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for batch in in_batches(waiting):
            call = asyncio.create_task(self._deliver(batch))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _deliver(self, batch: Sequence[_Entry[E]]) -> None:
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_RETRY_S * 2**attempt)
            batch = await self._attempt(batch)
            if not batch:
                return
        for entry in batch:
            self._fail(entry)

    async def _attempt(self, batch: Sequence[_Entry[E]]) -> list[_Entry[E]]:
        """Settle what SQS answered for; returns what is worth another try."""
        try:
            failures = await self._send([entry.value for entry in batch])
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            failures = [Failure(i, error_code(error), str(error), sender_fault=False) for i in range(len(batch))]
        refused = {failure.index: failure for failure in failures}
        again = []
        for index, entry in enumerate(batch):
            if index not in refused:
                self._confirm(entry)
            elif not self._is_final(entry, refused[index]):
                again.append(entry)
        return again

    def _is_final(self, entry: _Entry[E], failure: Failure) -> bool:
        entry.failure = failure
        if failure.sender_fault:
            self._fail(entry)
        return failure.sender_fault

    def _confirm(self, entry: _Entry[E]) -> None:
        # A caller that was cancelled meanwhile no longer waits.
        if not entry.confirmed.done():
            entry.confirmed.set_result(None)

    def _fail(self, entry: _Entry[E]) -> None:
        if not entry.confirmed.done():
            entry.confirmed.set_exception(SettlementError(self._action, entry.failure.code, entry.failure.reason))
