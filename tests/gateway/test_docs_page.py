"""The page at /docs, as a person uses it."""

import shutil

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, async_playwright, expect

from bbws.gateway.app import create_app
from bbws.shared.settings import Settings
from tests.gateway.demo import demo_services
from tests.support.identity import Identity

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")
async def test_operation_is_found_and_tried() -> None:
    """Search, read, send: without another host being asked, and without a complaint of the browser's policy."""
    async with TestServer(create_app(Settings(), demo_services())) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        heard: list[str] = []
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url) if str(server.port) not in request.url else None)
        await _try(page, str(server.make_url("/docs")))
        await browser.close()
    assert [text for text in heard if not text.startswith("data:")] == []


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")
async def test_token_is_sent_where_a_right_is_needed_and_kept_nowhere(shared_identity: Identity) -> None:
    """A reader tries what needs a right; the token goes to those operations alone and is gone with the page."""
    token = shared_identity.token("Operator")
    async with (
        shared_identity.verifier() as tokens,
        TestServer(create_app(Settings(), demo_services(tokens))) as server,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        await _try_with_token(await browser.new_page(), str(server.make_url("/docs")), token)
        await browser.close()


async def _try(page: Page, url: str) -> None:
    await page.goto(f"{url}#order-create")
    await expect(page.locator("#order-create textarea")).to_be_visible()
    assert '"customerEmail"' in await page.locator("#order-create textarea").input_value()
    await page.fill("#search", "does the process live")
    await expect(page.locator("#operations details:visible")).to_have_count(1)
    await page.click("#health-get summary")
    await page.click("#health-get button")
    await expect(page.locator("#health-get pre")).to_contain_text('"status": "ok"')


async def _try_with_token(page: Page, url: str, token: str) -> None:
    await page.goto(f"{url}#tenant-create")
    await expect(page.locator("#tenant-create .right")).to_have_text("needs tenants:create")
    await expect(page.locator("#health-get .right")).to_have_count(0)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.headers.get("authorization", "nothing")))
    for given, status in (("", "401"), (f" {token}\n", "422")):
        await page.fill("#token", given)
        await page.fill("#tenant-create textarea", "{}")
        await page.click("#tenant-create button")
        await expect(page.locator("#tenant-create pre")).to_contain_text(f"{status} ")
    await page.fill("#search", "does the process live")
    await page.click("#health-get summary")
    await page.click("#health-get button")
    await expect(page.locator("#health-get pre")).to_contain_text('"status": "ok"')
    assert asked == ["nothing", f"Bearer {token}", "nothing"]
    assert await page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
