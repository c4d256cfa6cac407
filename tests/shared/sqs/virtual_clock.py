"""Time for tests in memory: it stands still while something computes, and is skipped while everybody waits."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from anyio.to_thread import current_default_thread_limiter

_LOOK_TAKES_S = 1e-6
_THREADS_LOOK_S = 0.01

P = ParamSpec("P")
T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Does not wait for a timer: it is that time now, unless a handler still computes in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or current_default_thread_limiter().borrowed_tokens:
            return super().select(_THREADS_LOOK_S)
        self.now += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        # What was begun later is due later: timers of the very same moment would go off in any order.
        self._clock.now += _LOOK_TAKES_S
        return self._clock.now

    def jump(self, seconds: float) -> None:
        """It is so much later."""
        self._clock.now += seconds


def now() -> float:
    """The time of the running event loop."""
    return asyncio.get_running_loop().time()


def freeze(seconds: float) -> None:
    """As if this process had been stopped for so long: the clock jumps, and nothing ran meanwhile."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _Loop)
    loop.jump(seconds)


def virtual_clock(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """The test waits for hours in no time, and a busy machine makes no difference. For tests without a network."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            return runner.run(test(*args, **kwargs))

    return run
