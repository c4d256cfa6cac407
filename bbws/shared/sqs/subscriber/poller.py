"""The loop that receives: never more than there are free places, and through every outage of SQS."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from secrets import SystemRandom
from typing import Any

from ..client import error_code, is_queue_gone
from .binding import QueueBinding
from .settlement import Log

_FIRST_PAUSE_S = 0.5
_LAST_PAUSE_S = 30.0
_SHORT_POLL_EVERY_S = 0.1  # SQS bills each receive
_random = SystemRandom()


class Outage:
    """Failures of polling in a row: logged at the first, waited out longer each time, logged when over."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._failures = 0

    def failed(self, error: Exception) -> float:
        """Seconds to wait before the next try."""
        if not self._failures:
            self._log(logging.ERROR, f"cannot receive, trying again until it works: {error_code(error)}: {error}")
        longest = min(_LAST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 10))
        self._failures += 1
        return _random.uniform(longest / 2, longest)

    def over(self) -> None:
        """A receive worked."""
        if self._failures:
            self._log(logging.INFO, f"receiving again after {self._failures} failures")
        self._failures = 0


class Poller:
    """Receives while `width()` says there is room, and hands over what came; ends between two receives only."""

    def __init__(
        self,
        binding: QueueBinding,
        *,
        width: Callable[[], int],
        deliver: Callable[[list[dict[str, Any]], float], Awaitable[None]],
        wait_time_s: int,
        visibility_timeout_s: int | None,
        log: Log,
    ) -> None:
        self._binding = binding
        self._width = width
        self._deliver = deliver
        self._wait_time_s = wait_time_s
        self._visibility_timeout_s = visibility_timeout_s
        self._outage = Outage(log)
        self._changed = asyncio.Event()
        self._stopped = asyncio.Event()

    def changed(self) -> None:
        """The width may be another now."""
        self._changed.set()

    def stop(self) -> None:
        """No further receive; the running one ends by itself."""
        self._stopped.set()
        self._changed.set()

    async def run(self) -> None:
        """Poll until stopped. Not to be cancelled: a cancelled receive takes messages that nobody gets."""
        while not self._stopped.is_set():
            if width := self._width():
                await self._poll(width)
            else:
                await self._changed.wait()
            self._changed.clear()

    async def _poll(self, width: int) -> None:
        try:
            messages, lease_s = await self._receive(width)
        except Exception as error:  # noqa: BLE001 - a consumer outlives whatever its queue answers
            await self.wait_out(error)
        else:
            self._outage.over()
            await self._deliver(messages, lease_s)
            if not messages and not self._wait_time_s:
                await self._sleep(_SHORT_POLL_EVERY_S)

    async def _receive(self, width: int) -> tuple[list[dict[str, Any]], float]:
        """Messages, and for how many seconds they are ours."""
        facts = await self._binding.facts()
        own = self._visibility_timeout_s
        messages = await self._binding.client.receive(
            facts.url, max_messages=width, wait_s=self._wait_time_s, visibility_timeout_s=own
        )
        return messages, facts.visibility_timeout_s if own is None else own

    async def wait_out(self, error: Exception) -> None:
        """Return when it is time to try again, or at once when stopped."""
        if is_queue_gone(error):
            self._binding.forget()
        await self._sleep(self._outage.failed(error))

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return
