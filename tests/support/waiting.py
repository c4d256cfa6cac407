"""Waiting for what a test expects, with a deadline instead of a sleep."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

_POLL_EVERY_S = 0.05


@overload
async def eventually(check: Callable[[], Awaitable[T]], *, within_s: float = 10, what: str) -> T: ...
@overload
async def eventually(check: Callable[[], T], *, within_s: float = 10, what: str) -> T: ...
async def eventually(check: Callable[[], Any], *, within_s: float = 10, what: str) -> Any:
    """The first truthy answer of `check`; fails with `what` and the last answer after `within_s`."""
    now = asyncio.get_running_loop().time
    deadline = now() + within_s
    while True:
        answer = check()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if now() >= deadline:
            raise AssertionError(f"not within {within_s:g} s: {what} (last answer: {answer!r})")
        await asyncio.sleep(_POLL_EVERY_S)
