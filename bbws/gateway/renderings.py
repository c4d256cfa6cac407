"""PDFs that are drawn while somebody waits: a bounded number of them, and one for all who ask for the same."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from bbws.gateway.problems import Busy

# Waiting ones included. A page takes some 200 ms of CPU, and a client that leaves does not stop it.
MAX_RENDERINGS = 8


class Renderings:
    def __init__(self) -> None:
        self._under_way: dict[tuple[str, ...], asyncio.Task[bytes]] = {}

    async def share(self, key: tuple[str, ...], render: Callable[[], Coroutine[Any, Any, bytes]]) -> bytes:
        """What `render` gives, or what the rendering under way with the same key gives. Raises Busy at the limit."""
        if key not in self._under_way:
            if len(self._under_way) >= MAX_RENDERINGS:
                raise Busy("This process draws as many PDFs as it can; come again, or ask for HTML.")
            self._under_way[key] = task = asyncio.create_task(render())
            task.add_done_callback(lambda done: self._ended(key, done))
        # Shielded: others may wait for it, and it counts until it has really ended.
        return await asyncio.shield(self._under_way[key])

    async def close(self) -> None:
        """Nothing is under way any more."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: tuple[str, ...], task: asyncio.Task[bytes]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            # Looked at, because everybody who would have seen the error may have left.
            task.exception()
