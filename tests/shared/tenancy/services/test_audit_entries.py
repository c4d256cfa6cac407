"""Every change of every service leaves one entry in the trail: who, what, before and after, from where."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bbws.shared.clock import iso
from bbws.shared.contracts.audit import PLATFORM, AuditDetails, AuditEntry
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.core.audit import acting
from bbws.shared.errors import Conflict, PreconditionFailed
from bbws.shared.ids import new_id
from bbws.shared.logging import bound
from tests.support.market import CUSTOMER, OPERATOR, Market, campaign_draft, order_draft, paid, product_draft
from tests.support.till import PAYFAST, STRANGER, Till

SOURCE = "203.0.113.9"
FLOW = "the-request"


@asynccontextmanager
async def _asked() -> AsyncIterator[None]:
    """What the gateway says around a request."""
    with acting(SOURCE), bound(correlation_id=FLOW):
        yield


async def _entries(market: Market, trail: str, subject: str) -> list[AuditEntry]:
    """Those of one subject and what is below it, oldest first."""
    found: list[AuditEntry] = []
    page = PageRequest(100)
    while True:
        listed = await market.services.audit_trails.list(trail, page)
        found += [entry for entry in listed.items if f"{entry.subject}/".startswith(f"{subject}/")]
        if listed.next_cursor is None:
            return found[::-1]
        page = PageRequest(100, listed.next_cursor)


def _details(entry: AuditEntry) -> AuditDetails:
    assert entry.details is not None
    return entry.details


async def test_products_tell_what_changed_and_by_whom(shared_market: Market) -> None:
    """A price that was lowered for an hour must be found, with the price before it."""
    products = shared_market.services.products
    async with _asked():
        product = await shared_market.product(price_cents=249_00)
        await products.update(product.id, product_draft(price_cents=1_00), version=1, actor="user:thabo")
        await products.retire(product.id, version=2, actor=OPERATOR)
    created, updated, retired = await _entries(shared_market, PLATFORM, f"products/{product.id}")
    assert [entry.action for entry in (created, updated, retired)] == [
        "PRODUCT_CREATED", "PRODUCT_UPDATED", "PRODUCT_RETIRED",
    ]  # fmt: skip
    assert [entry.actor for entry in (created, updated, retired)] == [OPERATOR, "user:thabo", OPERATOR]
    assert {entry.correlation_id for entry in (created, updated, retired)} == {FLOW}
    assert {_details(entry).source for entry in (created, updated, retired)} == {SOURCE}
    assert (_details(created).before, _details(created).after["priceCents"]) == ({}, 249_00)
    changed = {"priceCents": 249_00, "version": 1, "lastUpdatedBy": OPERATOR}
    assert _details(updated).before == changed | {"dateLastUpdated": iso(product.date_last_updated)}
    assert _details(updated).after["priceCents"] == 1_00
    assert (_details(retired).before["active"], _details(retired).after["active"]) == (True, False)


async def test_what_changes_nothing_leaves_no_entry(shared_market: Market) -> None:
    """A repeat of a request and a refused one are no changes; an auditor must not have to tell them apart."""
    services, product = shared_market.services, await shared_market.product()
    await services.products.create(product_draft(), actor=OPERATOR, product_id=product.id)
    refused = await asyncio.gather(
        *(services.products.update(product.id, product_draft(), version=1, actor=OPERATOR) for _ in range(3)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in refused].count(PreconditionFailed) == 2
    entries = await _entries(shared_market, PLATFORM, f"products/{product.id}")
    assert [entry.action for entry in entries] == ["PRODUCT_CREATED", "PRODUCT_UPDATED"]


async def test_campaigns_are_told_once(shared_market: Market) -> None:
    """A discount is money given away: who started it is known, and a code that is taken starts nothing."""
    campaigns, product = shared_market.services.campaigns, await shared_market.product()
    draft, campaign_id = campaign_draft(product), new_id()
    for _ in range(2):
        await campaigns.create(draft, actor="user:thabo", campaign_id=campaign_id)
    with suppress(Conflict):
        await campaigns.create(draft, actor="user:other", campaign_id=new_id())
    (entry,) = await _entries(shared_market, PLATFORM, f"campaigns/{draft.code}")
    assert (entry.action, entry.actor) == ("CAMPAIGN_CREATED", "user:thabo")
    assert _details(entry).after["discountPercentage"] == "10"


async def test_orders_tell_their_way_from_placed_to_paid(shared_market: Market) -> None:
    """Both steps stand in the customer's own trail, with what they changed; repeats add nothing."""
    async with _asked():
        order = await shared_market.order()
    tenant = await shared_market.services.tenants.get(order.tenant_id)
    again = await shared_market.place(tenant, await shared_market.product(), order_id=order.id)
    assert again == order
    event = paid(order)
    for _ in range(2):
        with acting("order-record"), bound(correlation_id=event.correlationid):
            await shared_market.services.payments.record(event)
    placed, moved = await _entries(shared_market, order.tenant_id, f"orders/{order.id}")
    assert (placed.action, placed.actor, _details(placed).source) == ("ORDER_PLACED", CUSTOMER, SOURCE)
    assert _details(placed).after["totalCents"] == order.total_cents
    assert (moved.action, moved.actor, _details(moved).source) == ("ORDER_PAID", "order-record", "order-record")
    assert moved.correlation_id == order.id
    assert (_details(moved).before["status"], _details(moved).after["status"]) == ("PENDING_PAYMENT", "PAID")
    assert "items" not in _details(moved).after, "what did not change is not told again"


async def test_an_order_that_is_paid_again_says_so(shared_market: Market) -> None:
    """The order does not change any more, and somebody is owed money."""
    order = await shared_market.order()
    first, second = paid(order), paid(order)
    for event in (first, second):
        await shared_market.services.payments.record(event)
    *_, again = await _entries(shared_market, order.tenant_id, f"orders/{order.id}")
    assert (again.action, again.subject) == (
        "ORDER_PAID_AGAIN", f"orders/{order.id}/payments/{second.data.payment.id}",
    )  # fmt: skip
    assert _details(again).after["amountCents"] == order.total_cents


async def test_a_confirmed_payment_is_told_and_a_refused_notice_is_not(till: Till) -> None:
    """Anybody can send notices: only the one that counts is a change, however often it comes."""
    order = await till.order()
    raw_body = await till.paid(order)
    await till.receive(raw_body.replace(b"payment_status", b"payment_statu"), STRANGER)
    with acting(PAYFAST):
        for _ in range(2):
            await till.receive(raw_body)
        await till.receive(till.payfast.rewritten(raw_body, new_field="1"))
    placed, confirmed = await _entries(till, order.tenant_id, f"orders/{order.id}")
    assert (placed.action, confirmed.action, confirmed.actor) == ("ORDER_PLACED", "PAYMENT_CONFIRMED", "payfast-itn")
    assert (_details(confirmed).source, confirmed.correlation_id) == (PAYFAST, order.id)
    assert _details(confirmed).after["amountCents"] == order.total_cents
    assert confirmed.subject == f"orders/{order.id}/payments/{_details(confirmed).after['id']}"


async def test_invoices_tell_their_number_and_their_issue(shared_market: Market) -> None:
    """The tax office asks for the series; what the invoice holds stands in the invoice."""
    order = await shared_market.order()
    event = paid(order)
    for _ in range(2):
        invoice = await shared_market.services.invoices.issue(event)
    _, numbered, issued = await _entries(shared_market, order.tenant_id, f"orders/{order.id}")
    assert [entry.action for entry in (numbered, issued)] == ["INVOICE_NUMBERED", "INVOICE_ISSUED"]
    assert {entry.subject for entry in (numbered, issued)} == {f"orders/{order.id}/invoices/{invoice.number}"}
    assert {entry.correlation_id for entry in (numbered, issued)} == {event.correlationid}
    assert _details(numbered).after["totalCents"] == order.total_cents
    assert not {"order", "payment", "seller"} & _details(numbered).after.keys()
    assert (_details(issued).before["status"], _details(issued).after["status"]) == ("NUMBERED", "ISSUED")


async def test_an_entry_fails_with_its_change(market: Market) -> None:
    """A change that nobody could write down does not happen, and the other way round."""
    product = await market.product()
    tenant, order_id = await market.tenant(), new_id()
    await market.aws.inject("dynamodb", operation="TransactWriteItems", status=400, code="ValidationException")
    for refused in (
        market.services.orders.place(tenant.id, order_draft(product), actor=CUSTOMER, order_id=order_id),
        market.services.products.retire(product.id, version=1, actor=OPERATOR),
    ):
        (error,) = await asyncio.gather(refused, return_exceptions=True)
        assert isinstance(error, Exception)
    await market.aws.heal()
    assert await market.items("orders", f"TENANT#{tenant.id}") == []
    assert (await market.services.products.get(product.id)).active
    assert await _entries(market, tenant.id, f"orders/{order_id}") == []
    assert len(await _entries(market, PLATFORM, f"products/{product.id}")) == 1


async def test_nothing_personal_stands_outside_the_details(shared_market: Market) -> None:
    """Details can be erased, and the head is sealed for ever: an address there could never be taken back."""
    order = await shared_market.order(customer_email="thandi@protea.example")
    await shared_market.services.payments.record(paid(order))
    for entry in await _entries(shared_market, order.tenant_id, f"orders/{order.id}"):
        assert "protea" not in entry.model_copy(update={"details": None}).model_dump_json()
        assert "Nkosi" not in entry.model_copy(update={"details": None}).model_dump_json()
