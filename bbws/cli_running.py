"""How every command runs: settings from the environment, one event loop, answers on standard output alone."""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

from bbws.shared.settings import Settings

T = TypeVar("T")


def configured(process: str) -> Settings:
    """Settings of a process that logs to standard output."""
    from bbws.shared.logging import configure

    settings = Settings()
    configure(settings, process)
    return settings


def tool_settings(command: str) -> Settings:
    """Settings of a command whose standard output is its answer; it logs to standard error."""
    from bbws.shared.logging import configure

    settings = Settings()
    configure(settings, command, sys.stderr)
    return settings


def run(work: Awaitable[T]) -> T:
    async def awaited() -> T:
        return await work

    try:
        import uvloop
    except ImportError:
        return asyncio.run(awaited())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(awaited())
