"""Work that is done once for all who ask for the same meanwhile, and a bounded number of times at once."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from bbws.gateway.problems import Busy

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """`busy` is the sentence for those who come when `max_flights` are under way."""

    def __init__(self, max_flights: int, busy: str) -> None:
        self._max_flights = max_flights
        self._busy = busy
        self._under_way: dict[Hashable, asyncio.Task[T]] = {}

    async def do(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` gives, or what the work under way with the same key gives. Raises Busy at the limit."""
        if key not in self._under_way:
            if len(self._under_way) >= self._max_flights:
                raise Busy(self._busy)
            self._under_way[key] = task = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._ended(key, done))
        # Shielded: others may wait for it, and it counts until it has really ended.
        return await asyncio.shield(self._under_way[key])

    async def close(self) -> None:
        """Nothing is under way any more."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: Hashable, task: asyncio.Task[T]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            # Looked at, because everybody who would have seen the error may have left.
            task.exception()
