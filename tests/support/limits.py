"""Every test has a time limit (`timeout` in pyproject.toml); one that is over it says where each task was waiting.

pytest-timeout shows the event loop alone, which waits in `select` whatever the test waits for.
"""

import asyncio
import traceback
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any

import pytest

# Six processes and the AWS start, work, are killed, and stop in order; on a laptop in 10 to 40 s.
_WHOLE_SYSTEM_S = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("e2e") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_WHOLE_SYSTEM_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and "pytest-timeout" in str(call.excinfo.value):
        for loop in _loops(call.excinfo):
            waiting = [f"{task.get_name()}\n{_stack(task)}" for task in asyncio.all_tasks(loop)]
            report.sections.append(("tasks that were waiting", "\n".join(waiting)))
    return report


def _loops(error: pytest.ExceptionInfo[BaseException]) -> set[asyncio.AbstractEventLoop]:
    found = (entry.frame.f_locals.get("self") for entry in error.traceback)
    return {value for value in found if isinstance(value, asyncio.AbstractEventLoop)}


def _stack(task: asyncio.Task[Any]) -> str:
    """Down to what it waits for; `Task.get_stack` ends at its first coroutine."""
    frames = ((frame, frame.f_lineno) for frame in _frames(task.get_coro()))
    return "".join(traceback.StackSummary.extract(frames).format())


def _frames(awaited: Any) -> Iterator[FrameType]:
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is None:
            return
        yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
