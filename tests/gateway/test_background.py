"""Work that outlives its request."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from bbws.gateway import background
from bbws.gateway.app import create_app
from bbws.gateway.background import Background
from bbws.gateway.keys import BACKGROUND
from bbws.shared.settings import Settings
from tests.gateway.demo import demo_services


async def test_work_is_finished_before_the_process_ends() -> None:
    """An ITN that was answered is judged, also when the process is told to stop in this moment."""
    work, may_end, ended = Background(), asyncio.Event(), list[str]()

    async def judge() -> None:
        await may_end.wait()
        ended.append("judged")

    work.start(judge())
    finishing = asyncio.create_task(work.finish())
    may_end.set()
    await finishing
    assert ended == ["judged"]
    assert not work._tasks, "what has ended is kept for ever"


async def test_the_gateway_ends_after_its_work() -> None:
    """Services are closed behind it: work that went on without them would fail where it could have ended well."""
    app, may_end, ended = create_app(Settings(), demo_services()), asyncio.Event(), list[str]()

    async def judge() -> None:
        await may_end.wait()
        ended.append("judged")

    server = TestServer(app)
    await server.start_server()
    app[BACKGROUND].start(judge())
    closing = asyncio.create_task(server.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    may_end.set()
    async with asyncio.timeout(5):
        await closing
    assert ended == ["judged"]


async def test_what_takes_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Housekeeping takes it up; a process that does not stop is killed, with all it has in hand."""
    monkeypatch.setattr(background, "FINISH_WITHIN_S", 0.01)
    work = Background()
    work.start(asyncio.sleep(3600))
    complaints = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with capture_logs() as lines:
        await asyncio.wait_for(work.finish(), 5)
        await asyncio.sleep(0)
    assert (lines, complaints) == ([], []), "it is cut off, and has not failed"


async def test_an_error_is_logged() -> None:
    """Nobody waits for the work, so nobody else would hear of it."""
    work = Background()

    async def fail() -> None:
        raise RuntimeError("the table burned")

    with capture_logs() as lines:
        work.start(fail())
        await work.finish()
        await asyncio.sleep(0)
    assert [line["reason"] for line in lines] == ["the table burned"]
