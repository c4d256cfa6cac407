"""Pausing: nothing is received while a dependency is out, and one message is tried before all are."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from secrets import SystemRandom

from ..errors import PauseSubscriber, Probe
from ..message import ReceivedMessage
from .settlement import Log

_FIRST_PROBE_S = 1.0
# A probe costs one call; an outage that has ended should not last longer because nobody asked.
_LAST_PROBE_S = 10.0
_PROBE_TIMEOUT_S = 10
_random = SystemRandom()


class _State(Enum):
    OPEN = "open"
    PAUSED = "paused"
    HALF_OPEN = "half open"


class Gate:
    """Open, paused, or half open: then one message at a time until one ends without another pause."""

    def __init__(
        self,
        *,
        log: Log,
        changed: Callable[[], None],
        before_trial: Callable[[], Awaitable[None]],
        opened: Callable[[], object],
    ) -> None:
        self._log = log
        self._changed = changed
        self._before_trial = before_trial
        self._opened = opened
        self._state = _State.OPEN
        self._probing: asyncio.Task[None] | None = None
        self._trial: ReceivedMessage | None = None
        self._probes = 0
        self.return_after_s = 0.0

    @property
    def paused(self) -> bool:
        """Whether nothing is received."""
        return self._state is _State.PAUSED

    @property
    def is_open(self) -> bool:
        """Whether it lets pass whatever there is room for."""
        return self._state is _State.OPEN

    def width(self, free: int) -> int:
        """How many of the free places may be filled now."""
        if self._state is _State.OPEN:
            return free
        if self._state is _State.PAUSED or self._trial is not None:
            return 0
        return min(free, 1)

    def pause(self, outage: PauseSubscriber) -> None:
        """Receive nothing until the probe succeeds; later calls during the same pause change nothing."""
        self._trial = None
        if self.paused:
            return
        self._state = _State.PAUSED
        self.return_after_s = outage.delay
        self._log(logging.WARNING, f"paused: {outage.reason}")
        self._probing = asyncio.create_task(self._probe_until_well(outage.probe))
        self._changed()

    def begin(self, raw: ReceivedMessage) -> None:
        """A handler starts with this message."""
        if self._state is _State.HALF_OPEN and self._trial is None:
            self._trial = raw

    def end(self, raw: ReceivedMessage) -> None:
        """A handler is through with this message; had it paused again, `pause` would have been called before."""
        if self._trial is not raw:
            return
        self._open()
        self._log(logging.INFO, "resumed")
        self._opened()

    async def close(self) -> None:
        """Stop probing and be open for another start."""
        probing, self._probing = self._probing, None
        if probing is not None:
            probing.cancel()
            await asyncio.wait([probing])
        self._open()

    def _open(self) -> None:
        self._state, self._trial, self._probes, self.return_after_s = _State.OPEN, None, 0, 0.0

    async def _probe_until_well(self, probe: Probe) -> None:
        well = False
        while not well:
            await asyncio.sleep(self._interval())
            well = await _succeeds(probe)
        await self._before_trial()
        self._state = _State.HALF_OPEN
        self._changed()

    def _interval(self) -> float:
        """1, 2, 4 ... 10 s, jittered; goes on growing when a probe lies and the trial fails."""
        longest = min(_LAST_PROBE_S, _FIRST_PROBE_S * 2 ** min(self._probes, 10))
        self._probes += 1
        return _random.uniform(longest / 2, longest)


async def _succeeds(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            return await probe() is not False
    except Exception:  # noqa: BLE001 - a failing probe is the expected answer of a dependency that is out
        return False
