"""Placing orders: amounts fixed once, everything wrong said at once, and what a customer sees of an order."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bbws.shared.bootstrap import bootstrap
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.sales.orders import Order, OrderLine
from bbws.shared.errors import BadRequest, Invalid, NotFound, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.integrations.payfast import php_urlencode
from bbws.shared.sales.services.orders import Orders
from tests.support.clock import HandClock
from tests.support.emulator import Aws
from tests.support.market import CUSTOMER, OPERATOR, Market, MovedClock, order_draft, paid, product_draft
from tests.support.meanwhile import meanwhile
from tests.support.system import settings_for


def _amounts(item: Any) -> tuple[int, int, int, int]:
    return item.discount_cents, item.subtotal_cents, item.tax_cents, item.total_cents


def _pointers(refused: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return [error.pointer for error in refused.value.errors]


async def test_prices_include_vat(shared_market: Market) -> None:
    """R249.00 at 15 % holds R32.48 of VAT: what a customer pays is what the catalogue says (C-26)."""
    order = await shared_market.order()
    assert (order.status, order.vat_rate_percent) == ("PENDING_PAYMENT", 15)
    assert (order.subtotal_cents, order.tax_cents, order.total_cents) == (216_52, 32_48, 249_00)


async def test_amounts_stay_when_the_price_changes(shared_market: Market) -> None:
    """An order is a promise: the ITN is held against the amount that was promised."""
    tenant, product = await shared_market.tenant(), await shared_market.product()
    order = await shared_market.place(tenant, product)
    dearer = product_draft(price_cents=999_00, name="Renamed")
    await shared_market.services.products.update(product.id, dearer, version=1, actor=OPERATOR)
    assert await shared_market.services.orders.get(tenant.id, order.id) == order


async def test_campaign_takes_off_its_own_product_only(shared_market: Market) -> None:
    """The discount is of the campaign's product, rounded half up on the whole line; other lines cost what they cost."""
    tenant = await shared_market.tenant()
    reduced, other = await shared_market.product(price_cents=333_35), await shared_market.product(price_cents=100_00)
    campaign = await shared_market.campaign(reduced, discount_percentage=Decimal("12.5"))
    order = await shared_market.place(tenant, reduced, other, quantities=(3, 1), campaign_code=campaign.code.lower())
    # 3 × 333.35 = 1000.05; 12.5 % of it is 125.00625; 875.04 holds 114.14 of VAT.
    assert [_amounts(item) for item in order.items] == [(125_01, 760_90, 114_14, 875_04), (0, 86_96, 13_04, 100_00)]
    assert (order.subtotal_cents, order.tax_cents, order.total_cents) == (847_86, 127_18, 975_04)
    assert order.campaign is not None
    assert (order.campaign.id, order.campaign.discount_percentage) == (campaign.id, Decimal("12.5"))


async def test_seller_who_is_no_vendor_charges_no_vat(shared_aws: Aws) -> None:
    """Whoever is not registered for VAT must not show any."""
    settings = settings_for(shared_aws).model_copy(update={"seller_vat_number": None})
    async with bootstrap(settings) as services:
        order = await Market(shared_aws, services).order()
    assert (order.vat_rate_percent, order.tax_cents) == (0, 0)
    assert order.subtotal_cents == order.total_cents == 249_00


async def test_entitlements_are_those_of_the_day_of_sale(shared_market: Market) -> None:
    """What was bought is copied onto the order, so that a later product cannot take it away (C-20)."""
    product = await shared_market.product(entitlements={"sites": 7})
    order = await shared_market.place(await shared_market.tenant(), product)
    assert (order.items[0].entitlements.sites, order.items[0].product_name) == (7, product.name)


async def test_everything_wrong_is_said_at_once(shared_market: Market) -> None:
    """A customer corrects an order in one go: unknown and retired products and the campaign, each by its pointer."""
    tenant, good, retired = (
        await shared_market.tenant(), await shared_market.product(), await shared_market.product()
    )  # fmt: skip
    await shared_market.services.products.retire(retired.id, version=1, actor=OPERATOR)
    lines = [OrderLine(product_id=new_id()), OrderLine(product_id=good.id), OrderLine(product_id=retired.id)]
    draft = order_draft(items=tuple(lines), campaign_code="NOSUCH")
    with pytest.raises(Invalid) as refused:
        await shared_market.services.orders.place(tenant.id, draft, actor=CUSTOMER, order_id=new_id())
    assert _pointers(refused) == ["#/items/0/productId", "#/items/2/productId", "#/campaignCode"]


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ({"from_date": "2020-01-01", "to_date": "2020-01-31"}, "2020-01-01 to 2020-01-31"),
        ({"from_date": "2098-01-01", "to_date": "2099-01-31"}, "2098-01-01 to 2099-01-31"),
    ],
    ids=["expired", "not started"],
)
async def test_campaign_counts_on_its_days_only(shared_market: Market, dates: dict[str, str], said: str) -> None:
    """An expired or future code is refused, not ignored: the customer counted on the discount."""
    product = await shared_market.product()
    campaign = await shared_market.campaign(product, **dates)
    with pytest.raises(Invalid) as refused:
        await shared_market.place(await shared_market.tenant(), product, campaign_code=campaign.code)
    assert _pointers(refused) == ["#/campaignCode"]
    assert said in refused.value.errors[0].detail


async def test_days_are_those_of_the_shop(shared_aws: Aws) -> None:
    """Half an hour after midnight in Cape Town it is still yesterday in UTC: campaigns and VAT change at midnight."""
    clock = HandClock(datetime(2018, 3, 31, 22, 30, tzinfo=UTC))
    async with bootstrap(settings_for(shared_aws), clock=clock) as services:
        market = Market(shared_aws, services)
        tenant, product = await market.tenant(), await market.product()
        begins = await market.campaign(product, from_date="2018-04-01")
        ended = await market.campaign(product, from_date="2018-01-01", to_date="2018-03-31")
        order = await market.place(tenant, product, campaign_code=begins.code)
        with pytest.raises(Invalid) as refused:
            await market.place(tenant, product, campaign_code=ended.code)
        clock.move(-timedelta(hours=1))
        before = await market.place(tenant, product, campaign_code=ended.code)
    assert _pointers(refused) == ["#/campaignCode"]
    assert (order.vat_rate_percent, before.vat_rate_percent) == (15, 14)


async def test_campaign_of_another_product_is_refused(shared_market: Market) -> None:
    """A code for what is not in the basket would silently give nothing."""
    campaign = await shared_market.campaign(await shared_market.product())
    with pytest.raises(Invalid) as refused:
        await shared_market.place(
            await shared_market.tenant(), await shared_market.product(), campaign_code=campaign.code
        )
    assert _pointers(refused) == ["#/campaignCode"]


@pytest.mark.parametrize("price_cents", [4_99, 0])
async def test_total_below_payfasts_minimum_is_refused(shared_market: Market, price_cents: int) -> None:
    """PayFast would refuse the form; R5.00 itself passes."""
    tenant, product = await shared_market.tenant(), await shared_market.product(price_cents=price_cents)
    with pytest.raises(Invalid, match=r"R\s5\.00") as refused:
        await shared_market.place(tenant, product)
    assert _pointers(refused) == ["#/items"]
    enough = await shared_market.place(tenant, await shared_market.product(price_cents=5_00))
    assert shared_market.services.orders.checkout(enough).fields


async def test_discount_may_not_lead_below_the_minimum(shared_market: Market) -> None:
    """What counts is what is to be paid: a campaign of 100 % is refused as well."""
    product = await shared_market.product()
    campaign = await shared_market.campaign(product, discount_percentage=Decimal(100))
    with pytest.raises(Invalid) as refused:
        await shared_market.place(await shared_market.tenant(), product, campaign_code=campaign.code)
    assert _pointers(refused) == ["#/items"]


async def test_absurd_totals_are_refused(shared_market: Market) -> None:
    """The largest price a thousand times, twenty times over, is a mistake of the customer, never a 500."""
    tenant, product = await shared_market.tenant(), await shared_market.product(price_cents=100_000_000_00)
    with pytest.raises(Invalid) as refused:
        await shared_market.place(tenant, *[product] * 20, quantities=(1000,) * 20)
    assert _pointers(refused) == ["#/items"]


async def test_order_may_be_as_large_as_it_may_be(shared_market: Market) -> None:
    """R 10 million to the cent: the limit is the last amount that passes."""
    tenant, product = await shared_market.tenant(), await shared_market.product(price_cents=10_000_00)
    order = await shared_market.place(tenant, product, quantities=(1000,))
    assert order.total_cents == 10_000_000_00
    cent = await shared_market.product(price_cents=1)
    with pytest.raises(Invalid) as refused:
        await shared_market.place(tenant, product, cent, quantities=(1000, 1))
    assert _pointers(refused) == ["#/items"]


async def test_order_that_another_places_at_this_moment_is_the_same_one(shared_market: Market) -> None:
    """A gateway that is slow and the retry on another one: one order, and both answer with it."""
    tenant, product, order_id = await shared_market.tenant(), await shared_market.product(), new_id()
    other = shared_market.place(tenant, product, quantities=(2,), order_id=order_id)
    with meanwhile(lambda: other):
        order = await shared_market.place(tenant, product, order_id=order_id)
    assert (order.items[0].quantity, order) == (2, await shared_market.services.orders.get(tenant.id, order_id))


async def test_unknown_tenant_has_no_orders(shared_market: Market) -> None:
    """404 for placing and for listing alike."""
    draft, nobody = order_draft(await shared_market.product()), new_id()
    with pytest.raises(NotFound):
        await shared_market.services.orders.place(nobody, draft, actor=CUSTOMER, order_id=new_id())
    with pytest.raises(NotFound):
        await shared_market.services.orders.list(nobody, PageRequest())


async def test_order_of_another_tenant_is_not_found(shared_market: Market) -> None:
    """Whoever guesses an order's id learns nothing."""
    order, stranger = await shared_market.order(), await shared_market.tenant()
    orders = shared_market.services.orders
    for ask in (orders.get(stranger.id, order.id), orders.timeline(stranger.id, order.id)):
        with pytest.raises(NotFound):
            await ask


async def test_same_id_again_is_the_same_order(shared_market: Market) -> None:
    """A request that is repeated after a crash finds its order, whatever it says now and however often it comes."""
    tenant, product, order_id = await shared_market.tenant(), await shared_market.product(), new_id()
    placed = await asyncio.gather(*(shared_market.place(tenant, product, order_id=order_id) for _ in range(5)))
    later = await shared_market.place(tenant, product, quantities=(9,), order_id=order_id)
    assert [*placed, later] == [placed[0]] * 6
    assert list((await shared_market.services.orders.list(tenant.id, PageRequest())).items) == [placed[0]]


async def test_list_is_newest_first_over_all_pages(shared_market: Market) -> None:
    """Each order once, the last one placed on top; a page that ends exactly with the list has no next one."""
    tenant, product = await shared_market.tenant(), await shared_market.product()
    placed = [await shared_market.place(tenant, product) for _ in range(5)]
    await shared_market.order()
    orders, seen = shared_market.services.orders, list[Order]()
    cursor: str | None = None
    for size in (2, 2, 1):
        page = await orders.list(tenant.id, PageRequest(2, cursor))
        assert len(page.items) == size
        seen += page.items
        cursor = page.next_cursor
    assert (seen, cursor) == (placed[::-1], None)


async def test_cursor_belongs_to_its_list(shared_market: Market) -> None:
    """A cursor of one tenant must not open another tenant's list."""
    first, second, product = (
        await shared_market.tenant(), await shared_market.tenant(), await shared_market.product()
    )  # fmt: skip
    for tenant in (first, first, second, second):
        await shared_market.place(tenant, product)
    page = await shared_market.services.orders.list(first.id, PageRequest(1))
    with pytest.raises(BadRequest):
        await shared_market.services.orders.list(second.id, PageRequest(1, page.next_cursor))


async def test_outage_is_told_as_unavailable(market: Market) -> None:
    """503, not 500: the caller may come again, and a message waits for DynamoDB."""
    order = await market.order()
    await market.aws.inject("dynamodb")
    with pytest.raises(Unavailable) as outage:
        await market.services.payments.record(paid(order))
    assert outage.value.dependency == "dynamodb"


async def test_checkout_is_signed_as_payfast_checks_it(shared_market: Market) -> None:
    """PayFast hashes the fields in the order of the form, non-blank, PHP-encoded, the passphrase last."""
    settings = settings_for(shared_market.aws)
    checked = Orders(shared_market.services.database, shared_market.services.audit_entries, MovedClock(), settings)
    names = ["O'Brien & Söhne ~ 100%", "Second"]
    products = [await shared_market.product(name=name) for name in names]
    order = await shared_market.place(await shared_market.tenant(), *products)
    checkout = checked.checkout(order)
    fields = dict(checkout.fields)
    signature = fields.pop("signature")
    text = "&".join(f"{name}={php_urlencode(value)}" for name, value in fields.items())
    assert signature == hashlib.md5(text.encode()).hexdigest()
    assert "item_name=O%27Brien+%26+S%C3%B6hne+%7E+100%25+and+1+more" in text
    assert list(fields) == [
        "merchant_id", "merchant_key", "return_url", "cancel_url", "notify_url", "email_address", "m_payment_id",
        "amount", "item_name", "custom_str1",
    ]  # fmt: skip
    assert (fields["amount"], fields["m_payment_id"]) == ("498.00", order.id)
    assert checkout.url == "http://127.0.0.1:9/eng/process"


async def test_checkout_takes_what_orders_take(shared_market: Market) -> None:
    """PayFast takes addresses of 100 characters, SES of 254: a long one must not stop the payment."""
    for length, is_told in ((100, True), (101, False)):
        email = f"{'a' * 60}@{'b' * (length - 69)}.example"
        order = await shared_market.order(customer_email=email)
        fields = dict(shared_market.services.orders.checkout(order).fields)
        assert (len(email), fields.get("email_address")) == (length, email if is_told else None)


async def test_timeline_tells_the_story_in_order_with_stable_ids(market: Market) -> None:
    """SSE resumes by these ids: the same story again gives the same ids, and what is new comes behind."""
    order, services = await market.order(), market.services
    before = await services.orders.timeline(order.tenant_id, order.id)
    event = paid(order)
    await services.payments.record(event)
    await services.notifications.confirm_order(event, "customer")
    after = await services.orders.timeline(order.tenant_id, order.id)
    assert [entry.kind for entry in before] == ["ORDER_PLACED"]
    assert [entry.kind for entry in after] == ["ORDER_PLACED", "ORDER_PAID", "MAIL_SENT"]
    assert after[:1] == before
    assert await services.orders.timeline(order.tenant_id, order.id) == after
    assert after[2].id == "mail.order_confirmation_customer"
    assert "thandi@protea.example" in after[2].text
