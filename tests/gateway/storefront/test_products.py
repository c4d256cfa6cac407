"""The catalogue, what all pages share, and errors as pages."""

import asyncio
import re

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from bbws.gateway.app import create_app
from bbws.gateway.storefront.products import PRODUCTS_PER_PAGE
from bbws.shared.contracts.sales.products import Entitlements
from bbws.shared.ids import new_id
from bbws.shared.settings import Settings
from bbws.shared.templating import templates_dir
from tests.gateway.demo import demo_services
from tests.gateway.storefront.support import Shop, page_of
from tests.support.emulator import Aws

# The catalogue shows everything that is on sale.
pytestmark = pytest.mark.own_account

SCRIPT = "<script>alert(1)</script>"


async def test_catalogue_shows_what_is_on_sale(shop: Shop) -> None:
    """A customer must see name, price with VAT, how often it is due and what is in it, before asking anybody."""
    product = await shop.a_product(
        name="WordPress Agency", price_cents=9_990_00, billing_cycle="yearly", features=("25 sites",)
    )
    page = await shop.get("/")
    assert page.status == 200
    assert "WordPress Agency R 9 990.00 per year, incl. VAT" in page.text
    assert "25 sites" in page.text
    assert page.one("a", id=f"order-{product.id}")["href"] == f"/order?product={product.id}"


async def test_product_without_features_shows_its_entitlements(shop: Shop) -> None:
    """A card that lists nothing sells nothing; what the product entitles to is always known."""
    await shop.a_product(entitlements=Entitlements(sites=1, storage_gb=5, plugins=3))
    assert "1 site 5 GB storage 3 plugins" in (await shop.get("/")).text


async def test_empty_catalogue_says_what_to_do(shop: Shop) -> None:
    """A newcomer's first page is empty; it must not look broken, and must say how to fill it."""
    page = await shop.get("/")
    assert page.status == 200
    assert "Nothing is on sale yet" in page.text
    assert "POST /v1.0/products" in page.text


async def test_retired_product_is_no_longer_shown_or_sold(shop: Shop) -> None:
    """What is off sale must not be ordered through an old bookmark."""
    product = await shop.a_product()
    form = await shop.form(product)
    await shop.services.products.retire(product.id, version=1, actor="test")
    assert product.name not in (await shop.get("/")).text
    assert (await shop.get(f"/order?product={product.id}")).status == 404
    assert (await shop.post(form)).status == 404


async def test_long_catalogue_comes_in_pages(shop: Shop) -> None:
    """Every product is reachable however many there are, each exactly once."""
    made = {(await shop.a_product(name=f"Plan {number}")).id for number in range(PRODUCTS_PER_PAGE + 1)}
    first = await shop.get("/")
    more = first.one("a", rel="next")["href"]
    second = await shop.get(more)
    shown = re.findall(r"/order\?product=([0-9a-f-]{36})", first.html + second.html)
    assert sorted(shown) == sorted(made)
    assert second.all("a", rel="next") == []


async def test_texts_of_a_product_are_escaped(shop: Shop) -> None:
    """An operator's text is text: whoever may write a product must not be able to act as its buyers."""
    product = await shop.a_product(name=SCRIPT, description=f'"{SCRIPT}', features=(SCRIPT,))
    for path in ("/", f"/order?product={product.id}"):
        page = await shop.get(path)
        assert page.status == 200
        assert SCRIPT not in page.html
        assert SCRIPT in page.text


async def test_what_does_not_exist_is_a_page(shop: Shop) -> None:
    """Somebody with a mistyped link gets a way back, not JSON."""
    unknown = new_id()
    orders = ("/orders/a/b", "/orders/a/b/checkout", f"/orders/{unknown}/{unknown}")
    for path in ("/nothing", "/assets/none", "/order?product=x", f"/order?product={unknown}", *orders):
        page = await shop.get(path)
        assert page.status == 404, path
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "We could not find this page" in page.text
        assert page.all("a", href="/")


async def test_programs_still_get_problems(shop: Shop) -> None:
    """The shop must not change what the API answers, even to a browser that opens it."""
    page = await shop.get(f"/v1.0/products/{new_id()}")
    assert page.headers["Content-Type"] == "application/problem+json"


async def test_foreign_cursor_is_refused_as_a_page(shop: Shop) -> None:
    """A tampered link is the visitor's mistake (400), not a failure of the shop (500)."""
    page = await shop.get("/?cursor=abc")
    assert page.status == 400
    assert "That did not work" in page.text


async def test_unreachable_database_is_a_page_that_says_come_again(shop: Shop, aws: Aws) -> None:
    """During an outage a customer must learn that it will pass, and crawlers when to retry."""
    await aws.inject("dynamodb")
    page = await shop.get("/")
    assert page.status == 503
    assert page.headers["Retry-After"] == "5"
    assert "We will be right back" in page.text
    await aws.heal()
    assert (await shop.get("/")).status == 200


async def test_pages_allow_only_what_they_need(shop: Shop) -> None:
    """Injected markup must find nothing to run; the one foreign place a form may go to is PayFast."""
    for path in ("/", "/nothing"):
        headers = (await shop.get(path)).headers
        # Under `no-referrer` a browser without Fetch metadata would send our own form with `Origin: null`.
        assert headers["Referrer-Policy"] == "same-origin"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert f"form-action 'self' {shop.services.settings.payfast_url}" in policy


async def test_payfast_may_lead_the_buyer_on() -> None:
    """Chromium holds form-action against redirects as well; PayFast's own go to other hosts of its domains."""
    app = create_app(Settings(payfast_url="https://www.payfast.co.za"), demo_services())
    async with TestClient(TestServer(app)) as client, client.get("/nothing", headers={"Accept": "text/html"}) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert policy.endswith("form-action 'self' https://www.payfast.co.za https://*.payfast.co.za https://*.payfast.io")


async def test_odd_addresses_are_answered_calmly(shop: Shop) -> None:
    """Scanners send anything; none of it may be a failure of the shop."""
    product = await shop.a_product()
    odd = ("%00", "%ff%fe", "%ed%a0%80", "x" * 2000, "%F0%9F%8C%9E", "%3Cb%3E", "a%20b", "")
    for value in odd:
        assert (await shop.get(URL(f"/order?product={value}", encoded=True))).status == 404, value
        assert (await shop.get(URL(f"/order?product={product.id}&campaign={value}", encoded=True))).status == 200, value
        assert (await shop.get(URL(f"/?cursor={value}", encoded=True))).status == (400 if value else 200), value


async def test_no_page_has_inline_scripts_or_styles(shop: Shop) -> None:
    """The policy would refuse them silently, and the page would look broken to customers alone."""
    order = await shop.an_order()
    for path in ("/", f"/order?product={order.items[0].product_id}", page_of(order), page_of(order, "/checkout")):
        page = await shop.get(path)
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?! src=)", page.html), path


async def test_assets_are_kept_for_ever_under_their_hash(shop: Shop) -> None:
    """A return visit loads nothing, and a new version is seen at once because its address is another."""
    page = await shop.get("/")
    addresses = [
        page.one("link", rel="stylesheet")["href"],
        page.one("script")["src"],
        page.one("link", rel="icon")["href"],
    ]
    for address in addresses:
        asset = await shop.get(address)
        assert asset.status == 200
        assert "immutable" in asset.headers["Cache-Control"]
        again = await shop.get(URL(address).path, headers={"If-None-Match": asset.headers["ETag"]})
        assert again.status == 304
        assert again.headers["Cache-Control"] == "no-cache"
        older = await shop.get(f"{URL(address).path}?v=0123456789abcdef")
        assert (older.status, older.headers["Cache-Control"]) == (200, "no-cache")


async def test_head_answers_without_body(shop: Shop) -> None:
    """Link checkers and monitors ask with HEAD."""
    async with shop.client.head("/") as answer:
        assert answer.status == 200
        assert await answer.read() == b""


async def test_pages_render_while_others_do(shop: Shop) -> None:
    """Templates and their cache are shared by all requests; many at once must not disturb each other."""
    await shop.a_product()
    pages = await asyncio.gather(*(shop.get("/") for _ in range(20)))
    assert {page.html for page in pages} == {pages[0].html}


def test_shop_wears_the_colours_of_the_documents() -> None:
    """A customer recognises the mail and the invoice by the colours of the shop; they are written in two places."""
    brand = (templates_dir() / "partials/brand.html").read_text()
    css = (templates_dir() / "assets/storefront.css").read_text()
    for name, colour in re.findall(r'{% set (\w+) = "(#\w{6})" %}', brand):
        assert f"--{name}: {colour};" in css, name
