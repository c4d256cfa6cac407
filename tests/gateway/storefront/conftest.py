"""The shop over real HTTP, on the services and the account of `tests/gateway/conftest.py`."""

from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer

from bbws.gateway.app import create_app
from bbws.shared.bootstrap import Services
from bbws.shared.settings import Settings
from tests.gateway.storefront.support import Shop


@pytest_asyncio.fixture
async def shop(settings: Settings, services: Services) -> AsyncIterator[Shop]:
    # A browser keeps cookies of an address without a name too.
    async with TestClient(TestServer(create_app(settings, services)), cookie_jar=CookieJar(unsafe=True)) as client:
        yield Shop(client, services)
