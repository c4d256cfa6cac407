"""A customer with a real browser, from the catalogue through PayFast's page to the finished status page."""

import pytest
from playwright.async_api import Browser, Page, expect

from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.products import Product
from tests.gateway.storefront.browser import NARROWEST, chromium, no_complaints, payfast, settings, shop
from tests.gateway.storefront.support import ORDER_PAGE, Shop, filled_in, page_of

__all__ = ["chromium", "payfast", "settings", "shop"]

pytestmark = [pytest.mark.browser, pytest.mark.own_account]

TEXTS = {name: value for name, value in filled_in().items() if value and name not in {"country", "quantity"}}


async def _order(page: Page, shop: Shop) -> Order:
    """The form is filled in by hand and sent; the checkout is shown."""
    await page.goto(str(shop.client.make_url("/")))
    await page.get_by_role("link", name="Order WordPress Business").click()
    for name, value in TEXTS.items():
        await page.fill(f"#{name}", value)
    await page.get_by_role("button", name="Continue to payment").click()
    await expect(page.get_by_role("heading", name="Check and pay")).to_be_visible()
    return await _shown(page, shop)


async def _shown(page: Page, shop: Shop) -> Order:
    found = ORDER_PAGE.search(page.url)
    assert found
    return await shop.services.orders.get(found[1], found[2])


async def test_customer_orders_pays_and_sees_it_happen(shop: Shop, chromium: Browser) -> None:
    """The main path as a person walks it: nothing that the CSP refuses, and the page changes without a reload."""
    await shop.a_product()
    page = await chromium.new_page()
    with no_complaints(page):
        order = await _order(page, shop)
        await page.get_by_role("button", name="Pay R").click()
        await page.get_by_role("button", name="Pay now").click()
        await page.wait_for_url(f"**{page_of(order)}")
        await expect(page.locator(".badge")).to_have_text("Payment received")
        await page.evaluate("window.sameDocument = true")
        await shop.pay(order)
        await expect(page.locator(".badge")).to_have_text("Paid")
        await expect(page.get_by_role("status")).to_contain_text("paid through PayFast")
        await expect(page).to_have_title("Your order: Paid · BBWS Hosting (Pty) Ltd")
        await expect(page.get_by_role("button", name="Pay R")).to_have_count(0)
        assert await page.evaluate("window.sameDocument") is True


async def test_customer_cancels_and_returns(shop: Shop, chromium: Browser) -> None:
    """Cancelling at PayFast leads back to an order that can still be paid."""
    await shop.a_product()
    page = await chromium.new_page()
    with no_complaints(page):
        order = await _order(page, shop)
        await page.get_by_role("button", name="Pay R").click()
        await page.get_by_role("button", name="Cancel").click()
        await page.wait_for_url(f"**{page_of(order, cancelled='1')}")
        await expect(page.get_by_role("heading", name="You cancelled the payment")).to_be_visible()
        await expect(page.get_by_role("button", name="Pay R")).to_be_visible()


async def test_back_button_does_not_order_twice(shop: Shop, chromium: Browser) -> None:
    """Browsers keep the form on "back"; sending it again must find the order that is there."""
    await shop.a_product()
    page = await chromium.new_page()
    first = await _order(page, shop)
    await page.go_back()
    assert await page.input_value("#email") == TEXTS["email"]
    await page.get_by_role("button", name="Continue to payment").click()
    await expect(page.get_by_role("heading", name="Check and pay")).to_be_visible()
    assert (await _shown(page, shop)).id == first.id
    assert await shop.orders_of(first) == 1


async def test_total_follows_quantity_and_code(shop: Shop, chromium: Browser) -> None:
    """The customer sees what it will cost; the amounts are those that the server fixes later, cent for cent."""
    product = await shop.a_product(price_cents=1_333_35)
    await shop.a_campaign(product)
    page = await chromium.new_page()
    await page.goto(str(shop.client.make_url("/order").with_query(product=product.id, campaign="SUMMER10")))
    total = page.locator("#total output")
    for quantity, shown in (("1", "R\u00a01\u00a0200.01"), ("3", "R\u00a03\u00a0600.04")):
        await page.fill("#quantity", quantity)
        await expect(total).to_have_text(shown)
    order = await shop.order_of(await shop.post(await shop.form(product, quantity="3", campaign="SUMMER10")))
    assert order.total_cents == 3_600_04
    await page.fill("#campaign", "")
    await expect(total).to_have_text("R\u00a04\u00a0000.05")
    await expect(page.locator("#discount")).to_be_hidden()


async def test_errors_are_shown_and_focused(shop: Shop, chromium: Browser) -> None:
    """Whoever uses a screen reader or a keyboard lands on the errors, and from there in the field."""
    product = await shop.a_product()
    page = await chromium.new_page()
    await page.goto(str(shop.client.make_url("/order").with_query(product=product.id)))
    for name, value in {**TEXTS, "campaign": "NOPE"}.items():
        await page.fill(f"#{name}", value)
    await page.get_by_role("button", name="Continue to payment").click()
    await expect(page.locator("#errors")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Campaign code")).to_be_focused()
    assert await page.input_value("#email") == TEXTS["email"]


async def test_everything_works_without_javascript(shop: Shop, chromium: Browser) -> None:
    """A customer whose browser runs no scripts can buy all the same."""
    await shop.a_product()
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    order = await _order(page, shop)
    await page.get_by_role("button", name="Pay R").click()
    await page.get_by_role("button", name="Pay now").click()
    await page.wait_for_url(f"**{page_of(order)}")
    await shop.pay(order)
    await page.reload()
    await expect(page.locator(".badge")).to_have_text("Paid")


async def test_page_asks_now_and_then_where_streams_are_refused(shop: Shop, chromium: Browser) -> None:
    """A busy gateway refuses event streams; the customer's page must not stand still because of that."""
    order = await shop.an_order()
    page = await chromium.new_page()
    await page.route("**/events?*", lambda route: route.fulfill(status=503))
    await page.clock.install()
    async with page.expect_response(lambda answer: answer.request.resource_type == "fetch"):
        await page.goto(f"{shop.services.settings.public_base_url}{page_of(order)}")
    await shop.pay(order)
    await page.clock.fast_forward(5_000)
    # The page's next timer may have been set a moment after the jump; then it takes the real five seconds.
    await expect(page.locator(".badge")).to_have_text("Paid")


async def test_nothing_overflows_on_a_narrow_phone(shop: Shop, chromium: Browser) -> None:
    """At 360 px nobody scrolls sideways, even with the longest names."""
    product = await _widest(shop)
    order = await shop.order_of(await shop.post(await shop.form(product, name="W" * 120, line1="W" * 120)))
    page = await chromium.new_page(viewport=NARROWEST)
    for path in ("/", f"/order?product={product.id}", page_of(order, "/checkout"), page_of(order), "/nothing"):
        await page.goto(f"{shop.services.settings.public_base_url}{path}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= NARROWEST["width"], path


async def _widest(shop: Shop) -> Product:
    return await shop.a_product(name="W" * 100, features=("W" * 200,), description="W" * 300, price_cents=1_000_000_00)
