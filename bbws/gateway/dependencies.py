"""Whether each dependency answers; asked once for all who want to know at about the same time."""

import asyncio
import time
from collections.abc import Callable, Mapping

from bbws.shared.errors import Dependency, Ping, Unavailable
from bbws.shared.logging import get_logger

PING_TIMEOUT_S = 2.0
# With the timeout, a failure shows after three seconds at most, however often anybody asks.
FRESH_S = 1.0
OK = "ok"
# What the gateway serves without: the user pool's API is for invitations, links and staff. Customers order, and callers
# are recognised by keys that the gateway has, so that its outage must not take every gateway out of a load balancer.
OPTIONAL: frozenset[Dependency] = frozenset({"cognito-idp"})

log = get_logger(__name__)


class Dependencies:
    def __init__(self, pings: Mapping[Dependency, Ping], *, now: Callable[[], float] = time.monotonic) -> None:
        self._pings = pings
        self._now = now
        self._asking = asyncio.Lock()
        self._states: dict[Dependency, str] = {}
        self._asked_at = float("-inf")

    async def states(self) -> dict[Dependency, str]:
        """For each dependency `ok` or what is wrong, at most `FRESH_S` old when this is called."""
        wanted_since = self._now() - FRESH_S
        async with self._asking:
            if self._asked_at <= wanted_since:
                asked_at = self._now()
                states = await asyncio.gather(*(_state(name, ping) for name, ping in self._pings.items()))
                self._states, self._asked_at = dict(zip(self._pings, states, strict=True)), asked_at
        return self._states


def can_serve(states: Mapping[Dependency, str]) -> bool:
    return all(state == OK for name, state in states.items() if name not in OPTIONAL)


async def _state(name: str, ping: Ping) -> str:
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            await ping()
    except TimeoutError:
        return f"no answer within {PING_TIMEOUT_S:g} s"
    except Unavailable as error:
        log.warning("a dependency is out of reach", dependency=name, reason=str(error))
        return "out of reach"
    return OK
