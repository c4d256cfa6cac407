"""An order's own pages open with the key in their address, and with nothing else."""

from email.message import EmailMessage

import pytest
from yarl import URL

from bbws.shared.contracts.sales.orders import Order
from tests.gateway.storefront.support import Shop, page_of
from tests.support.builders import a_payment, order_created
from tests.support.emulator import Aws

PARTS = ("", "/checkout", "/events", "/documents/order", "/documents/receipt", "/documents/invoice")


def _bare(order: Order, part: str = "") -> str:
    return f"/orders/{order.tenant_id}/{order.id}{part}"


def _key(order: Order) -> str:
    return URL(page_of(order)).query["key"]


async def test_pages_open_with_their_own_key_alone(shop: Shop) -> None:
    """Both ids of an order are known to PayFast and to log files; they must not show who bought what."""
    order = await shop.an_order()
    other = await shop.an_order(email=order.customer_email)
    assert other.tenant_id == order.tenant_id
    keys = (
        "",
        "?key=",
        f"?key={_key(other)}",
        f"?key={_key(order)}x",
        f"?key={_key(order)}&key={_key(order)}",
        "?key=%ff",
    )
    refusals = set()
    for part in PARTS:
        for query in keys:
            page = await shop.get(URL(_bare(order, part) + query, encoded=True), allow_redirects=False)
            assert page.status == 404, (part, query)
            refusals.add(page.html.replace(_bare(order, part), ""))
    unknown = await shop.get(f"/orders/{order.tenant_id}/{order.tenant_id}")
    assert refusals == {unknown.html}
    for part in ("", "/checkout", "/documents/order"):
        assert (await shop.get(page_of(order, part))).status == 200


async def test_ids_may_be_written_in_upper_case(shop: Shop) -> None:
    """Some mail programs shout; the key is that of the order all the same."""
    order = await shop.an_order()
    shouted = f"/orders/{order.tenant_id.upper()}/{order.id.upper()}?key={_key(order)}"
    assert (await shop.get(shouted)).status == 200


async def test_every_link_of_the_pages_carries_the_key(shop: Shop) -> None:
    """A customer who clicks from page to page must never stand before a 404."""
    order = await shop.an_order()
    checkout, status = await shop.get(page_of(order, "/checkout")), await shop.get(page_of(order))
    assert checkout.one("a", href=page_of(order))
    assert status.one("div", id="live")["data-events"] == page_of(order, "/events")
    assert status.one("a", id="printable")["href"] == page_of(order, "/documents/order", format="html")
    fields = dict(checkout.hidden)
    base = shop.services.settings.public_base_url
    assert fields["return_url"] == base + page_of(order)
    assert fields["cancel_url"] == base + page_of(order, cancelled="1")


async def test_event_stream_of_the_page_tells_the_story(shop: Shop) -> None:
    """The page's own route serves what /v1.0 serves to those with a token, and is no page to `HEAD`."""
    order = await shop.an_order()
    async with shop.client.get(page_of(order, "/events")) as stream:
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        assert b"ORDER_PLACED" in await stream.content.readuntil(b"event: ORDER_PLACED\n")
    assert (await shop.client.head(page_of(order, "/events"))).status == 405


@pytest.mark.needs("mails")
async def test_link_in_the_mail_opens_the_order(shop: Shop, aws: Aws) -> None:
    """Days later the mail is all that the customer has."""
    placed = await shop.an_order()
    await shop.pay(placed)
    order = await shop.services.orders.get(placed.tenant_id, placed.id)
    await shop.services.notifications.confirm_order(order_created(order, a_payment(order)), "customer")
    (mail,) = await aws.mails()
    link = shop.services.settings.public_base_url + page_of(order)
    for kind in ("plain", "html"):
        assert link in _text(mail, kind)
    assert (await shop.get(page_of(order))).status == 200


def _text(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


async def test_key_opens_nothing_of_the_api(shop: Shop) -> None:
    """The API knows callers, not keys: an address that leaks shows one order's pages and no more."""
    order = await shop.an_order()
    for path in (f"/orders/{order.id}", f"/orders/{order.id}/events", ""):
        assert (await shop.get(f"/v1.0/tenants/{order.tenant_id}{path}?key={_key(order)}")).status == 401


async def test_key_reaches_no_other_site_and_no_log(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Referrers and log lines are how secrets in addresses usually leak."""
    order = await shop.an_order()
    for part in ("", "/checkout"):
        page = await shop.get(page_of(order, part))
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert page.headers["Cache-Control"] == "no-store"
    assert _key(order) not in "".join(capsys.readouterr())
