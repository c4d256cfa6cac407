"""A circuit breaker: nothing is received while a dependency is out, and one message is tried before the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from secrets import SystemRandom

from ..errors import PauseSubscriber, Probe
from ..message import ReceivedMessage
from .settlement import Log

_FIRST_INTERVAL_S = 1.0
# A probe costs one call; an outage that has ended should not last longer because nobody asked.
_MAX_INTERVAL_S = 10.0
_PROBE_TIMEOUT_S = 10
_random = SystemRandom()


class _State(Enum):
    RUNNING = "running"
    PAUSED = "paused"
    TRIAL = "trial"


class Pausing:
    """Running, paused, or in trial: then one message at a time until one ends without another pause."""

    def __init__(
        self,
        *,
        log: Log,
        changed: Callable[[], None],
        before_trial: Callable[[], Awaitable[None]],
        resumed: Callable[[], object],
    ) -> None:
        self._log = log
        self._changed = changed
        self._before_trial = before_trial
        self._resumed = resumed
        self._state = _State.RUNNING
        self._probing: asyncio.Task[None] | None = None
        self._tried: ReceivedMessage | None = None
        self._probes = 0
        self.return_after_s = 0.0

    @property
    def paused(self) -> bool:
        """Whether nothing is received."""
        return self._state is _State.PAUSED

    @property
    def is_running(self) -> bool:
        """Whether nothing is held back: neither paused nor in trial."""
        return self._state is _State.RUNNING

    def limited(self, free: int) -> int:
        """How many of the free slots may be filled now."""
        if self._state is _State.RUNNING:
            return free
        if self._state is _State.PAUSED or self._tried is not None:
            return 0
        return min(free, 1)

    def pause(self, outage: PauseSubscriber) -> None:
        """Receive nothing until the probe succeeds; later calls during the same pause change nothing."""
        self._tried = None
        if self.paused:
            return
        self._state = _State.PAUSED
        self.return_after_s = outage.delay
        self._log(logging.WARNING, f"paused: {outage.reason}")
        self._probing = asyncio.create_task(self._probe_until_well(outage.probe))
        self._changed()

    def begin(self, raw: ReceivedMessage) -> None:
        """A handler starts with this message."""
        if self._state is _State.TRIAL and self._tried is None:
            self._tried = raw

    def end(self, raw: ReceivedMessage) -> None:
        """A handler is through with this message; had it paused again, `pause` would have been called before."""
        if self._tried is not raw:
            return
        self._run()
        self._log(logging.INFO, "resumed")
        self._resumed()

    def withdraw(self, raw: ReceivedMessage) -> None:
        """No handler starts with this message after all: another is tried instead."""
        if self._tried is raw:
            self._tried = None
            self._changed()

    async def close(self) -> None:
        """Stop probing; another start finds it running."""
        probing, self._probing = self._probing, None
        if probing is not None:
            probing.cancel()
            await asyncio.wait([probing])
        self._run()

    def _run(self) -> None:
        self._state, self._tried, self._probes, self.return_after_s = _State.RUNNING, None, 0, 0.0

    async def _probe_until_well(self, probe: Probe) -> None:
        well = False
        while not well:
            await asyncio.sleep(self._interval())
            well = await _succeeds(probe)
        await self._before_trial()
        self._state = _State.TRIAL
        self._changed()

    def _interval(self) -> float:
        """1, 2, 4 ... 10 s, jittered; goes on growing when a probe lies and the trial fails."""
        upper = min(_MAX_INTERVAL_S, _FIRST_INTERVAL_S * 2 ** min(self._probes, 10))
        self._probes += 1
        return _random.uniform(upper / 2, upper)


async def _succeeds(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            return await probe() is not False
    except Exception:  # noqa: BLE001 - a failing probe is the expected answer of a dependency that is out
        return False
