"""Single settlements gathered into calls of up to ten."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from ..client import Failure, error_code, in_batches
from ..errors import SettlementError
from ..limits import MAX_BATCH_ENTRIES

E = TypeVar("E")

LINGER_S = 0.05
_TRIES = 4
_RETRY_S = 0.1  # doubled each time
_NOT_TRIED = Failure(0, "Unknown", "not tried", sender_fault=False)

Ended = Callable[[SettlementError | None], None]
"""Called when SQS confirmed an entry, or with the reason why it never did."""


@dataclass(slots=True)
class _Entry(Generic[E]):
    value: E
    ended: Ended
    failure: Failure = _NOT_TRIED


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
        confirmed = asyncio.get_running_loop().create_future()
        self.post(value, partial(_resolve, confirmed))
        await confirmed

    def post(self, value: E, ended: Ended) -> None:
        """As `add` for those who do not wait: `ended` is called later, never from here."""
        self._waiting.append(_Entry(value, ended))
        if len(self._waiting) >= MAX_BATCH_ENTRIES or not self._company():
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._flush)

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
                entry.ended(None)
            elif not self._is_final(entry, refused[index]):
                again.append(entry)
        return again

    def _is_final(self, entry: _Entry[E], failure: Failure) -> bool:
        entry.failure = failure
        if failure.sender_fault:
            self._fail(entry)
        return failure.sender_fault

    def _fail(self, entry: _Entry[E]) -> None:
        entry.ended(SettlementError(self._action, entry.failure.code, entry.failure.reason))


def _resolve(confirmed: "asyncio.Future[None]", error: SettlementError | None) -> None:
    # A caller that was cancelled meanwhile no longer waits.
    if confirmed.done():
        return
    if error is None:
        confirmed.set_result(None)
    else:
        confirmed.set_exception(error)
