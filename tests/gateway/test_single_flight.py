"""Work that many want at once is done once, and what nobody waits for any more harms nobody."""

import asyncio

import pytest
from aiohttp.test_utils import TestServer

from bbws.gateway.app import create_app
from bbws.gateway.keys import RENDERINGS
from bbws.gateway.problems import Busy
from bbws.gateway.single_flight import SingleFlight
from bbws.shared.settings import Settings
from tests.gateway.demo import demo_services


async def _never() -> bytes:
    await asyncio.Event().wait()
    return b""


async def test_the_limit_is_of_different_things() -> None:
    """Whoever joins takes no place; what has ended leaves one."""
    flights, may_end = SingleFlight[bytes](1, "no more"), asyncio.Event()

    async def draw() -> bytes:
        await may_end.wait()
        return b"drawn"

    first = asyncio.create_task(flights.do("a", draw))
    await asyncio.sleep(0)
    joined = asyncio.create_task(flights.do("a", _never))
    with pytest.raises(Busy, match="no more"):
        await flights.do("b", draw)
    may_end.set()
    assert [await first, await joined] == [b"drawn", b"drawn"]
    assert await flights.do("b", draw) == b"drawn"


async def test_one_who_leaves_takes_nobody_along() -> None:
    """The others still wait for the same work."""
    flights, may_end = SingleFlight[bytes](1, "no more"), asyncio.Event()

    async def draw() -> bytes:
        await may_end.wait()
        return b"drawn"

    leaving, staying = (asyncio.create_task(flights.do("a", draw)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    may_end.set()
    assert await staying == b"drawn"


async def test_nothing_is_under_way_once_it_is_closed() -> None:
    """What goes on behind the services that it uses would fail, or hold the process up."""
    flights = SingleFlight[bytes](1, "no more")
    waiting = asyncio.create_task(flights.do("a", _never))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await flights.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_the_gateway_ends_with_nothing_under_way() -> None:
    """A PDF that is still being drawn for somebody who has left must not hold a deploy up."""
    app = create_app(Settings(), demo_services())
    server = TestServer(app)
    await server.start_server()
    waiting = asyncio.create_task(app[RENDERINGS].do("a", _never))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await server.close()
        await asyncio.sleep(0)
    assert waiting.cancelled()
