"""Notices when this process stood still: stopped, frozen with its machine, or computing without a pause."""

import asyncio
import math

_MIN_INTERVAL_S = 0.1
_MAX_INTERVAL_S = 5.0


class StallWatch:
    """An answer that was read after a stall may have waited here as long as that lasted, while its leases ran."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._interval_s = _MAX_INTERVAL_S
        self._looked_at = math.inf
        self._stalled_from = self._stalled_until = -math.inf

    def watch(self, lease_s: float) -> None:
        """From now on, closely enough for leases of this length."""
        self._interval_s = min(max(lease_s / 8, _MIN_INTERVAL_S), _MAX_INTERVAL_S)
        if self._timer is None:
            self._looked_at = _now()
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def received_at(self, asked_at: float, waited_at_most_s: float) -> float:
        """The earliest moment at which an answer was given that is read now and was asked for then, as far as known.

        Of a long poll that lasted that is when it ended.
        """
        now = _now()
        self._note(now)
        if not waited_at_most_s or now - asked_at <= 2 * self._interval_s:
            return asked_at
        # Behind a stall what waits is read at once, by whatever order sockets and timers wake up.
        if now - self._stalled_until <= self._interval_s and self._stalled_until >= asked_at:
            return max(asked_at, self._stalled_from)
        return min(now, asked_at + waited_at_most_s)

    def _look(self) -> None:
        self._note(_now())
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._look)

    def _note(self, now: float) -> None:
        if now - self._looked_at > 2 * self._interval_s:
            self._stalled_from, self._stalled_until = self._looked_at, now
        self._looked_at = now


def _now() -> float:
    return asyncio.get_running_loop().time()
