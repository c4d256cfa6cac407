"""Work that goes on after a request was answered, and is finished before the process ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from bbws.shared.logging import get_logger

# What is not done by then is taken up by housekeeping.
FINISH_WITHIN_S = 10.0

log = get_logger(__name__)


class Background:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Runs on its own, with the ids of this request in its log lines; an error is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def finish(self) -> None:
        """Everything started has ended, or is cut off."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=FINISH_WITHIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("background work failed", reason=str(error), exc_info=error)
