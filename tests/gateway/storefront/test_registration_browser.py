"""A new customer with a real browser, from the link in the mail to the page that says it is done."""

import pytest
from playwright.async_api import Browser, Page, expect

from bbws.shared.contracts.tenancy.tenants import Registration
from tests.gateway.storefront.browser import NARROWEST, chromium, no_complaints, payfast, settings, shop
from tests.gateway.storefront.support import Shop
from tests.support.builders import registration_requested
from tests.support.emulator import Aws
from tests.support.links import link_in, mails_to

__all__ = ["chromium", "payfast", "settings", "shop"]

pytestmark = [pytest.mark.browser, pytest.mark.needs("cognito", "mails")]
EMAIL = "thandi@protea.example"
PASSWORD = "correct horse battery"


async def _enter(page: Page, password: str, again: str) -> None:
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_label("The same password again").fill(again)
    await page.get_by_role("button", name="Set password").click()


async def test_a_customer_follows_the_link_and_sets_a_password(shop: Shop, chromium: Browser, aws: Aws) -> None:
    """Mistypes, reads why, mends it, is done; nothing that the CSP refuses, and no sideways scrolling on a phone."""
    tenant = await shop.services.registrations.for_customer(Registration(email=EMAIL))
    await shop.services.registrations.mail_link(registration_requested(tenant))
    page = await chromium.new_page(viewport=NARROWEST)
    with no_complaints(page):
        await page.goto(link_in((await mails_to(aws, EMAIL))[-1]))
        await expect(page.get_by_label("E-mail address")).to_have_value(EMAIL)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await _enter(page, PASSWORD, "another one")
    await expect(page.get_by_role("alert")).to_be_focused()
    await expect(page.get_by_role("alert")).to_contain_text("not the same")
    await _enter(page, "short", "short")
    await expect(page.get_by_role("alert")).to_contain_text("12 to 256 characters")
    with no_complaints(page):
        await _enter(page, PASSWORD, PASSWORD)
        await expect(page.get_by_role("heading", name="Your password is set")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert (await shop.services.tenants.get(tenant.id)).registration_status == "REGISTERED"


async def test_a_visitor_without_a_link_gets_one(shop: Shop, chromium: Browser) -> None:
    """From the first page on: register, and look into the inbox."""
    await shop.a_product()
    page = await chromium.new_page()
    with no_complaints(page):
        await page.goto(str(shop.client.make_url("/")))
        await page.get_by_role("link", name="Register").click()
        await page.get_by_label("E-mail address").fill(EMAIL)
        await page.get_by_role("button", name="Send me a link").click()
        await expect(page.get_by_role("heading", name="Look into your inbox")).to_be_visible()
    assert (await shop.services.registrations.for_customer(Registration(email=EMAIL))).email == EMAIL
