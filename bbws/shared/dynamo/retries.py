"""Trying again what somebody else was faster at: read, decide, write on condition, and again from the start."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bbws.shared.errors import Unavailable

TRIES = 20
_BASE_S = 0.01
_MAX_S = 0.3

T = TypeVar("T")


async def retry_lost_race(attempt: Callable[[], Awaitable[T]], *lost: type[Exception]) -> T:
    """What `attempt` answers once it meets nobody else; it is called anew after each of the `lost` errors.

    Raises Unavailable when the same items are changed by too many at once.
    """
    for tried in range(TRIES):
        try:
            return await attempt()
        except lost:
            await asyncio.sleep(random.uniform(0, min(_BASE_S * 2**tried, _MAX_S)))  # noqa: S311 - jitter, not a secret
    raise Unavailable("dynamodb", "the same items are being changed by too many at once")
