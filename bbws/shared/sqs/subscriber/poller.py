"""The loop that receives: never more than there is room for, and through every outage of SQS."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from secrets import SystemRandom
from typing import Any

from ..client import error_code, is_queue_gone
from .resolved_queue import ResolvedQueue
from .settlement import Log
from .stalls import StallWatch

_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 30.0
_SHORT_POLL_EVERY_S = 0.1  # SQS bills each receive
# Of a helper's receive: a long poll, so that SQS asks all of its servers, but over soon when the queue is empty.
_HELPER_WAIT_S = 1
# One full receive may be the whole of a burst; a second says that there is more.
_FULL_IN_A_ROW = 2
_BUSY = 0.8
_WINDOW_S = 0.05
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
        upper = min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 10))
        self._failures += 1
        return _random.uniform(upper / 2, upper)

    def over(self) -> None:
        """A receive worked."""
        if self._failures:
            self._log(logging.INFO, f"receiving again after {self._failures} failures")
        self._failures = 0


class Load:
    """How much of its time this thread has been computing of late."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, computed: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._computed = computed
        self._since = (clock(), computed())
        self._is_high = False

    def is_high(self) -> bool:
        """Whether more messages could not be handled any sooner, because the event loop has no time for them."""
        began_at, computed_s = self._since
        now = self._clock()
        if now - began_at >= _WINDOW_S:
            self._since = (now, self._computed())
            self._is_high = self._since[1] - computed_s > _BUSY * (now - began_at)
        return self._is_high


class Poller:
    """Receives while there is room, and hands over what came; ends between two receives only.

    `room(asked)` is how many messages one more receive may bring while others have asked for `asked`, at most
    `receive_size`. While receives come back full, there is room for another and the event loop has time, a helper
    joins after each, until `pollers` receive side by side. A helper ends with a receive that is not full.
    """

    def __init__(
        self,
        queue: ResolvedQueue,
        *,
        room: Callable[[int], int],
        deliver: Callable[[list[dict[str, Any]], float, float], Awaitable[None]],
        receive_size: int,
        pollers: int,
        wait_time_s: int,
        visibility_timeout_s: int | None,
        log: Log,
    ) -> None:
        self._queue = queue
        self._room = room
        self._deliver = deliver
        self._receive_size = receive_size
        self._helpers_wanted = pollers - 1
        self._helpers: set[asyncio.Task[None]] = set()
        self._load = Load()
        self._full_in_a_row = 0
        self._asked = 0
        self._wait_time_s = wait_time_s
        self._visibility_timeout_s = visibility_timeout_s
        self._outage = Outage(log)
        self._stalls = StallWatch()
        self._changed = asyncio.Event()
        self._stopped = asyncio.Event()

    def changed(self) -> None:
        """There may be more room now."""
        self._changed.set()

    def stop(self) -> None:
        """No further receive; the running one ends by itself."""
        self._stopped.set()
        self._changed.set()

    async def run(self) -> None:
        """Poll until stopped. Not to be cancelled: a cancelled receive takes messages that nobody gets."""
        while not self._stopped.is_set():
            if room := self._room(self._asked):
                await self._poll(room)
            else:
                await self._changed.wait()
            self._changed.clear()
        if self._helpers:
            await asyncio.wait(self._helpers)
        self._stalls.stop()

    async def _poll(self, size: int) -> None:
        try:
            received = await self._receive_and_deliver(size, self._wait_time_s)
        except Exception as error:  # noqa: BLE001 - a consumer outlives whatever its queue answers
            await self.wait_out(error)
            return
        self._outage.over()
        self._full_in_a_row = self._full_in_a_row + 1 if received == self._receive_size else 0
        if self._full_in_a_row >= _FULL_IN_A_ROW:
            self._call_for_help()
        elif not received and not self._wait_time_s:
            await self._sleep(_SHORT_POLL_EVERY_S)

    def _call_for_help(self) -> None:
        if len(self._helpers) < self._helpers_wanted and self._is_help_of_use():
            helper = asyncio.create_task(self._help())
            self._helpers.add(helper)
            helper.add_done_callback(self._helpers.discard)

    def _is_help_of_use(self) -> bool:
        is_needed = not self._stopped.is_set() and self._room(self._asked) == self._receive_size
        return is_needed and not self._load.is_high()

    async def _help(self) -> None:
        """Receive as long as that is of use; an outage is left to `run`."""
        while self._is_help_of_use():
            try:
                received = await self._receive_and_deliver(self._receive_size, min(self._wait_time_s, _HELPER_WAIT_S))
            except Exception:  # noqa: BLE001 - `run` meets and logs the same
                return
            if received < self._receive_size:
                return
            self._call_for_help()

    async def _receive_and_deliver(self, size: int, wait_s: int) -> int:
        self._asked += size
        try:
            messages, lease_s, received_at = await self._receive(size, wait_s)
        finally:
            self._asked -= size
            # Another receive may ask for what this one did not bring.
            self._changed.set()
        await self._deliver(messages, lease_s, received_at)
        return len(messages)

    async def _receive(self, size: int, wait_s: int) -> tuple[list[dict[str, Any]], float, float]:
        """Messages, for how many seconds they are ours, and since when at the earliest."""
        facts = await self._queue.facts()
        # Sent each time: somebody may change the queue's own at any moment.
        lease_s = facts.visibility_timeout_s if self._visibility_timeout_s is None else self._visibility_timeout_s
        self._stalls.watch(lease_s)
        asked_at = asyncio.get_running_loop().time()
        messages = await self._queue.client.receive(
            facts.url, max_messages=size, wait_s=wait_s, visibility_timeout_s=lease_s
        )
        return messages, lease_s, self._stalls.received_at(asked_at, wait_s)

    async def wait_out(self, error: Exception) -> None:
        """Return when it is time to try again, or at once when stopped."""
        if is_queue_gone(error):
            self._queue.forget()
        await self._sleep(self._outage.failed(error))

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return
