"""Ordering through the form, checkout and status page, without a browser."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import DummyCookieJar
from aiohttp.test_utils import TestClient, TestServer

from bbws.gateway.app import create_app
from bbws.gateway.storefront.form_tokens import MAX_AGE_S
from bbws.gateway.storefront.order_form import parse
from bbws.shared.bootstrap import Services
from bbws.shared.contracts.tenancy.tenants import Registration
from bbws.shared.ids import new_id
from bbws.shared.settings import Settings
from tests.gateway.storefront import support
from tests.gateway.storefront.support import Shop, altered, page_of
from tests.support.builders import a_payment, invoice_issued, order_created
from tests.support.emulator import Aws

SCRIPT = '"><script>alert(1)</script>'


@pytest.mark.own_account
async def test_form_places_an_order_and_leads_to_payfast(shop: Shop) -> None:
    """The main path without JavaScript: form, order, checkout with every signed field that PayFast expects."""
    product = await shop.a_product()
    form = await shop.form(product, quantity="2", company="Protea Bakery", vat_number="4123456789")
    answer = await shop.post(form)
    order = await shop.order_of(answer)
    assert answer.headers["Location"] == page_of(order, "/checkout")
    assert (order.total_cents, order.items[0].quantity, order.customer_email) == (498_00, 2, form["email"])
    assert order.billing_address.vat_number == "4123456789"
    tenant = await shop.services.tenants.get(order.tenant_id)
    assert (tenant.email, tenant.organization_name) == (form["email"], "Protea Bakery")
    checkout = await shop.get(answer.headers["Location"])
    expected = shop.services.orders.checkout(order)
    assert checkout.one("form", method="post")["action"] == expected.url
    assert checkout.hidden == list(expected.fields)
    assert "To pay R 498.00 incl. R 64.96 VAT" in checkout.text


async def test_campaign_is_offered_and_taken_off(shop: Shop) -> None:
    """A link from a campaign mail shows the discount at once, and the order has it."""
    product = await shop.a_product()
    await shop.a_campaign(product)
    page = await shop.get(f"/order?product={product.id}&campaign=summer10")
    assert "SUMMER10: Ten per cent off" in page.text
    assert page.one("form", id="order")["data-discount"] == "1000"
    order = await shop.order_of(await shop.post(await shop.form(product, campaign="summer10")))
    assert order.total_cents == 224_10


async def test_campaign_of_something_else_or_of_the_past_is_refused_at_its_field(shop: Shop) -> None:
    """A discount that the checkout does not give must not be promised on the form."""
    product, other = await shop.a_product(), await shop.a_product()
    past = shop.services.clock().date() - timedelta(days=30)
    await shop.a_campaign(other, code="OTHERS")
    await shop.a_campaign(product, code="OVER", from_date=past, to_date=past)
    for code in ("OTHERS", "OVER"):
        page = await shop.get(f"/order?product={product.id}&campaign={code}")
        assert page.one("form", id="order").get("data-discount", "0") == "0"
        assert "Ten per cent off" not in page.text
        form = await shop.form(product, campaign=code)
        refused = await shop.post(form)
        assert (refused.status, set(refused.errors)) == (422, {"campaign"})


async def test_form_sent_twice_orders_once(shop: Shop) -> None:
    """Whoever presses the button twice, or comes back and presses again, must not owe twice."""
    form = await shop.form(await shop.a_product())
    first = await shop.order_of(await shop.post(form))
    again = await shop.order_of(await shop.post(form))
    assert again.id == first.id
    assert await shop.orders_of(first) == 1


async def test_form_sent_twice_at_once_orders_once(shop: Shop) -> None:
    """A double click sends both before either is answered; the new customer is registered once, too."""
    form = await shop.form(await shop.a_product(), company="Protea Bakery")
    answers = await asyncio.gather(*(shop.post(form) for _ in range(5)))
    orders = [await shop.order_of(answer) for answer in answers]
    assert {order.id for order in orders} == {orders[0].id}
    assert await shop.orders_of(orders[0]) == 1


async def test_changed_form_is_another_order(shop: Shop) -> None:
    """Who goes back to order three instead of one must pay for three, not be shown the old order."""
    form = await shop.form(await shop.a_product())
    first = await shop.order_of(await shop.post(form))
    second = await shop.order_of(await shop.post({**form, "quantity": "3"}))
    assert second.id != first.id
    assert second.items[0].quantity == 3


async def test_other_email_never_finds_an_order_of_the_first(shop: Shop) -> None:
    """An order id is unique over all tenants: PayFast's notification finds the order by it alone."""
    form = await shop.form(await shop.a_product())
    first = await shop.order_of(await shop.post(form))
    second = await shop.order_of(await shop.post({**form, "email": "somebody-else@protea.example"}))
    assert second.id != first.id
    assert second.tenant_id != first.tenant_id


async def test_wrong_fields_are_all_named_and_values_kept(shop: Shop) -> None:
    """A customer mends everything in one go and types nothing twice; nobody is registered before that."""
    entered = {
        "quantity": "0", "campaign": "NOPE", "email": "no address", "name": " ", "line1": "4 Jan Smuts\x07Avenue",
        "city": "x" * 81, "postal_code": "", "country": "XX", "vat_number": "123", "company": "Protea Bakery",
    }  # fmt: skip
    form = await shop.form(await shop.a_product(), **entered)
    page = await shop.post(form)
    assert page.status == 422
    assert set(page.errors) == set(entered) - {"company"}
    for name in page.errors:
        field = page.one("select" if name == "country" else "input", id=name)
        assert field["aria-invalid"] == "true"
        assert f"{name}-error" in field["aria-describedby"]
        assert page.all("a", href=f"#{name}")
    for name in set(entered) - {"country", "line1"}:
        assert page.one("input", id=name)["value"] == entered[name]
    assert dict(page.hidden)["token"] == form["token"]
    corrected = {**form, **support.filled_in(), "company": "Protea Bakery"}
    assert (await shop.post(corrected)).status == 303


async def test_known_email_orders_for_its_tenant(shop: Shop) -> None:
    """A returning customer needs no account page; the answer says nothing about whether the address is known."""
    email = "thandi@protea.example"
    tenant = await shop.services.registrations.for_customer(Registration(email=email))
    order = await shop.order_of(await shop.post(await shop.form(await shop.a_product(), email=email.title())))
    assert order.tenant_id == tenant.id


async def test_order_for_a_deleted_customer_is_refused_without_a_word_about_them(shop: Shop) -> None:
    """Anybody may type somebody else's address: the page names no tenant, and nothing that only we can do."""
    email = f"{new_id()}@protea.example"
    tenant = await shop.services.registrations.for_customer(Registration(email=email))
    await shop.services.tenants.delete(tenant.id, version=1, actor="test")
    page = await shop.post(await shop.form(await shop.a_product(), email=email))
    assert (page.status, tenant.id in page.html, "restore" in page.text) == (422, False, False)
    assert "We cannot take orders for this e-mail address. Please write to us" in page.text


async def test_order_for_a_known_email_shows_nothing_of_its_tenant(shop: Shop) -> None:
    """Anybody may type somebody else's address: no page of the new order tells who that is or what they bought."""
    known = Registration(email="owner@protea.example", organization_name="Protea Bakery")
    tenant = await shop.services.registrations.for_customer(known)
    earlier = await shop.an_order(email="owner@protea.example", name="Sipho Dlamini", line1="9 Vilakazi Street")
    order = await shop.an_order(email="Owner@Protea.example", company="Ubuntu Traders")
    assert order.tenant_id == earlier.tenant_id == tenant.id
    for part in ("", "/checkout"):
        page = await shop.get(page_of(order, part))
        assert page.status == 200
        for secret in ("Protea Bakery", "Sipho", "Vilakazi", earlier.id):
            assert secret not in page.html, (part, secret)


async def test_a_taken_company_is_left_out_and_the_order_placed(shop: Shop) -> None:
    """Nobody joins another customer's company by its name, and no answer tells which names and addresses are known."""
    taken = Registration(email="owner@protea.example", organization_name="Protea Bakery")
    await shop.services.registrations.for_customer(taken)
    order = await shop.an_order(company="Protea Bakery")
    tenant = await shop.services.tenants.get(order.tenant_id)
    assert (tenant.organization_name, tenant.registration_status) == (None, "UNVALIDATED")


async def test_amount_below_payfasts_minimum_is_explained(shop: Shop) -> None:
    """PayFast would refuse the payment later, where we could say nothing."""
    page = await shop.post(await shop.form(await shop.a_product(price_cents=3_00)))
    assert page.status == 422
    assert "These items come to R 3.00: PayFast takes no payment below R 5.00." in page.text


async def test_form_of_another_site_is_refused(shop: Shop) -> None:
    """A foreign page must not order in a visitor's name, even if it could learn token and cookie."""
    form = await shop.form(await shop.a_product())
    here = str(shop.client.make_url("")).rstrip("/")
    foreign = ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"})
    # The last one is what the request's Host says: a proxy may set that, or a name that was pointed here.
    for headers in (*foreign, {"Origin": "null"}, {"Origin": "https://["}, {"Origin": here}):
        page = await shop.post(form, headers)
        assert page.status == 403, headers
        assert "nothing was ordered" in page.text
    own = {"Sec-Fetch-Site": "same-origin", "Origin": here}
    assert (await shop.post(form, own)).status == 303


async def test_origin_alone_proves_the_own_site_to_old_browsers(shop: Shop) -> None:
    """Browsers without Fetch metadata still order."""
    form = await shop.form(await shop.a_product())
    assert (await shop.post(form, {"Origin": shop.services.settings.public_base_url})).status == 303


@pytest.mark.parametrize("public_base_url", ["https://Shop.bbws.example", "https://shop.bbws.example:443"])
async def test_orders_arrive_through_a_proxy_that_ends_tls(
    settings: Settings, services: Services, public_base_url: str
) -> None:
    """The browser speaks https with the public name, we plain http: forms, tokens and cookies must agree on that."""
    behind = settings.model_copy(update={"public_base_url": public_base_url})
    app = create_app(behind, replace(services, settings=behind))
    async with TestClient(TestServer(app), cookie_jar=DummyCookieJar()) as client:
        shop = Shop(client, services)
        host = {"Host": "shop.bbws.example"}
        page = await shop.get(f"/order?product={(await shop.a_product()).id}", headers=host)
        assert "Secure" in page.headers["Set-Cookie"]
        form = {**dict(page.hidden), **support.filled_in()}
        sent = {**host, "Origin": "https://shop.bbws.example", "Cookie": page.headers["Set-Cookie"].split(";")[0]}
        assert (await shop.post(form, {**sent, "Origin": "http://shop.bbws.example"})).status == 403
        assert (await shop.post(form, sent)).status == 303


async def test_token_of_another_browser_is_refused(shop: Shop) -> None:
    """A token alone proves nothing: the attacker has one of their own. The values stay, so nothing is lost."""
    form = await shop.form(await shop.a_product())
    shop.client.session.cookie_jar.clear()
    assert (await shop.post(form)).status == 403
    await shop.form(await shop.a_product())
    page = await shop.post(form)
    assert page.status == 403
    assert page.one("input", id="email")["value"] == form["email"]
    mended = {**form, "token": dict(page.hidden)["token"]}
    assert (await shop.post(mended)).status == 303


async def test_forged_token_is_refused(shop: Shop) -> None:
    """Only forms that we made are taken."""
    form = await shop.form(await shop.a_product())
    form_id, _, signature = form["token"].partition(".")
    for token in ("", "x", f"{form_id}.{'0' * 64}", f"{new_id()}.{signature}", altered(form["token"])):
        assert (await shop.post({**form, "token": token})).status == 403, token


async def test_old_token_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaks from a browser's history must not be good for ever."""
    form = await shop.form(await shop.a_product())
    monkeypatch.setattr("bbws.gateway.storefront.form_tokens.MAX_AGE_S", -1)
    page = await shop.post(form)
    assert page.status == 403
    assert "open for too long" in page.text
    assert MAX_AGE_S == 86_400


async def test_cookie_is_for_the_form_alone(shop: Shop) -> None:
    """No script, no other site and no other page of ours gets to see it."""
    page = await shop.get(f"/order?product={(await shop.a_product()).id}")
    cookie = page.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/order" in cookie


async def test_entered_markup_stays_text(shop: Shop) -> None:
    """What a customer enters comes back on four pages; on none may it become markup."""
    product = await shop.a_product()
    texts = {"name": SCRIPT, "line1": SCRIPT, "line2": SCRIPT, "city": SCRIPT, "postal_code": "<b>21"}
    wrong = await shop.post(await shop.form(product, **texts, company=SCRIPT, campaign=SCRIPT))
    order = await shop.order_of(await shop.post(await shop.form(product, **texts, company=SCRIPT)))
    linked = f"/order?product={product.id}&campaign=%22%3E%3Cscript%3E"
    pages = [await shop.get(path) for path in (page_of(order, "/checkout"), page_of(order), linked)]
    for page in (wrong, *pages):
        assert "<script>" not in page.html
        assert len(page.all("script")) == 1


async def test_what_is_no_form_is_refused_as_a_page(shop: Shop) -> None:
    """Junk must cost little and never be a failure of the shop."""
    junk = ((b"quantity=%ff", 400), (b"&".join([b"a=1"] * 60), 400), (b"\xff=1", 400), (b"x" * 20_000, 413))
    for body, status in junk:
        assert await _refusal(shop, body, "application/x-www-form-urlencoded") == status, body
    assert await _refusal(shop, b"{}", "application/json") == 415


async def _refusal(shop: Shop, body: bytes, content_type: str) -> int:
    headers = {"Content-Type": content_type, "Accept": "text/html"}
    async with shop.client.post("/order", data=body, headers=headers) as answer:
        assert answer.content_type == "text/html"
        return answer.status


def test_of_a_repeated_field_the_first_counts() -> None:
    """Our form has each field once; whoever adds one behind it must not change what the customer saw and sent."""
    assert parse(b"quantity=1&email=a%40b.example&quantity=1000") == {"quantity": "1", "email": "a@b.example"}


async def test_order_page_without_product_is_the_catalogue(shop: Shop) -> None:
    """A shortened link still leads somewhere useful."""
    page = await shop.get("/order", allow_redirects=False)
    assert (page.status, page.headers["Location"]) == (303, "/")


async def test_outage_while_ordering_orders_nothing_and_can_be_repeated(shop: Shop, aws: Aws) -> None:
    """The same form sent again after an outage places the one order."""
    form = await shop.form(await shop.a_product())
    await aws.inject("dynamodb")
    assert (await shop.post(form)).status == 503
    await aws.heal()
    assert (await shop.post(form)).status == 303


async def test_cancelled_payment_says_so_and_can_be_tried_again(shop: Shop) -> None:
    """PayFast sends the customer back with ?cancelled=1; the order is kept and one press from being paid."""
    order = await shop.an_order()
    page = await shop.get(page_of(order, cancelled="1"))
    assert "You cancelled the payment" in page.text
    assert page.hidden == list(shop.services.orders.checkout(order).fields)
    assert "You cancelled" not in (await shop.get(page_of(order))).text


async def test_paid_order_shows_no_way_to_pay_again(shop: Shop) -> None:
    """Nobody pays twice by mistake, not even through an old checkout address or a cancelled=1 in the history."""
    order = await shop.an_order()
    await shop.pay(order)
    page = await shop.get(page_of(order, cancelled="1"))
    assert page.all("form") == []
    assert "You cancelled" not in page.text
    assert page.one("a", id="receipt")
    assert page.all("a", id="invoice") == []
    checkout = await shop.get(page_of(order, "/checkout"), allow_redirects=False)
    assert (checkout.status, checkout.headers["Location"]) == (303, page_of(order))


async def test_finished_order_shows_its_documents_and_stops_watching(shop: Shop) -> None:
    """At the end the customer finds invoice, receipt and order, and the page asks the server no more."""
    placed = await shop.an_order()
    await shop.pay(placed)
    order = await shop.services.orders.get(placed.tenant_id, placed.id)
    event = order_created(order, a_payment(order))
    invoice = await shop.services.invoices.issue(event)
    half = await shop.get(page_of(order))
    assert half.one("meta", **{"http-equiv": "refresh"})
    for audience in ("customer", "internal"):
        await shop.services.notifications.confirm_order(event, audience)
        await shop.services.notifications.confirm_payment(invoice_issued(invoice), audience)
    page = await shop.get(page_of(order))
    assert [step["class"] for step in page.all("li") if step.get("class")] == ["done"] * 4
    assert page.all("meta", **{"http-equiv": "refresh"}) == []
    assert "data-events" not in page.one("div", id="live")
    story = [entry.id for entry in await shop.services.orders.timeline(order.tenant_id, order.id)]
    shown = [item["data-entry"] for item in page.all("li") if "data-entry" in item]
    assert shown == [entry for entry in reversed(story) if not entry.endswith("_internal")]
    assert len(story) == len(shown) + 2, "the team's mails are part of the story, and of no customer's page"
    for link in ("invoice", "receipt", "printable"):
        document = await shop.client.get(page.one("a", id=link)["href"])
        assert document.status == 200


async def test_every_page_of_an_order_shows_what_will_be_paid_and_by_whom(shop: Shop) -> None:
    """The last look before the money goes: amounts after the discount, VAT, and the address as it was entered."""
    product = await shop.a_product(price_cents=249_00)
    await shop.a_campaign(product, code="MILL10")
    entered = {"line2": "The Old Mill", "vat_number": "4987654321", "country": "BW", "campaign": "mill10"}
    order = await shop.order_of(await shop.post(await shop.form(product, **entered, quantity="2")))
    for page in (await shop.get(page_of(order, "/checkout")), await shop.get(page_of(order))):
        assert page.text.count("Pay R 448.20 now") == 1
        assert "To pay R 448.20" in page.text
        for said in (
            "Discount MILL10: −R 49.80",
            "Without VATR 389.74",
            "VAT (15 %)R 58.46",
            "TotalR 448.20",
            "The Old Mill",
            "Botswana",
            "VAT no. 4987654321",
            order.customer_email,
            f"Reference{order.id}",
        ):
            assert said in page.text, said
        assert dict(page.hidden)["amount"] == "448.20"
