"""Single messages for those who ask for them: `get_one` and iteration. A receive is never cancelled."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from ..limits import MAX_WAIT_TIME_S
from ..message import ReceivedMessage
from .resolved_queue import ResolvedQueue

T = TypeVar("T")

_SHORT_POLL_S = 0.2


class Fetcher:
    def __init__(
        self,
        queue: ResolvedQueue,
        *,
        visibility_timeout_s: int | None,
        received: Callable[[list[dict[str, Any]]], list[ReceivedMessage]],
        release: Callable[[ReceivedMessage], Awaitable[None]],
        is_running: Callable[[], bool],
    ) -> None:
        self._queue = queue
        self._visibility_timeout_s = visibility_timeout_s
        self._received = received
        self._release = release
        self._is_running = is_running
        self._tasks: set[asyncio.Task[Any]] = set()

    async def fetch(self, wait_s: int) -> ReceivedMessage | None:
        """One message. A caller that is cancelled leaves the receive running, and what it brings goes back."""
        receive = self.track(self._receive_one(wait_s))
        try:
            return await asyncio.shield(receive)
        except asyncio.CancelledError:
            self.track(self._return_unclaimed(receive))
            raise

    async def fetch_within(self, timeout_s: float) -> ReceivedMessage | None:
        """As `fetch`; SQS waits in whole seconds, so the rest of a timeout is a pause between two short polls."""
        now = asyncio.get_running_loop().time
        deadline = now() + timeout_s
        while True:
            left = deadline - now()
            if raw := await self.fetch(wait_s=min(max(int(left), 0), MAX_WAIT_TIME_S)):
                return raw
            if (left := deadline - now()) <= 0:
                return None
            if left < 1:
                await asyncio.sleep(min(left, _SHORT_POLL_S))

    def track(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that `finish` waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _receive_one(self, wait_s: int) -> ReceivedMessage | None:
        facts = await self._queue.facts()
        messages = await self._queue.client.receive(
            facts.url, max_messages=1, wait_s=wait_s, visibility_timeout_s=self._visibility_timeout_s
        )
        if not messages:
            return None
        [raw] = self._received(messages)
        if not self._is_running():
            await self._release(raw)
            return None
        return raw

    async def _return_unclaimed(self, receive: "asyncio.Task[ReceivedMessage | None]") -> None:
        await asyncio.wait([receive])
        if not receive.exception() and (raw := receive.result()):
            await self._release(raw)
