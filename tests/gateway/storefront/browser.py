"""Fixtures: a shop on ports of its own with a PayFast stand-in beside it, and Chromium to visit it with."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from bbws.gateway.app import create_app
from bbws.gateway.streams import StreamLimits
from bbws.local.payfast import PayfastAccount
from bbws.local.payfast import create_app as create_payfast
from bbws.shared.bootstrap import Services
from bbws.shared.settings import Settings
from tests.gateway.storefront.support import Shop
from tests.support.emulator import Aws

ACCOUNT = PayfastAccount(merchant_id="10000100", merchant_key="46f0cd694581a", passphrase="jt7NOE43FZPn")
NARROWEST: Any = {"width": 360, "height": 740}

# A machine with two busy cores takes its time; nothing waits so long where it works.
expect.set_options(timeout=15_000)


@pytest_asyncio.fixture
async def payfast() -> AsyncIterator[TestServer]:
    server = TestServer(create_payfast(ACCOUNT))
    async with server:
        yield server


@pytest.fixture
def settings(aws: Aws, payfast: TestServer) -> Settings:
    port = unused_port()
    return Settings(
        aws_endpoint_url=aws.endpoint_url,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
        bucket_suffix=f"-{aws.access_key_id}",
        gateway_port=port,
        public_base_url=f"http://127.0.0.1:{port}",
        payfast_url=str(payfast.make_url("")),
        payfast_merchant_id=ACCOUNT.merchant_id,
        payfast_merchant_key=ACCOUNT.merchant_key,
        payfast_passphrase=ACCOUNT.passphrase,
        payfast_source_ranges="127.0.0.0/8",
        payfast_source_hosts="",
        pdf_processes=1,
    )


@pytest_asyncio.fixture
async def shop(settings: Settings, services: Services) -> AsyncIterator[Shop]:
    app: web.Application = create_app(settings, services, stream_limits=StreamLimits(poll_s=0.1))
    server = TestServer(app, port=settings.gateway_port)
    async with TestClient(server) as client:
        yield Shop(client, services)


@pytest_asyncio.fixture
async def chromium() -> AsyncIterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


@contextmanager
def no_complaints(page: Page) -> Iterator[None]:
    """Fails when the browser wrote an error to its console meanwhile, as it does for what the CSP refuses."""
    heard: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            heard.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: heard.append(str(error)))
    yield
    assert heard == []
