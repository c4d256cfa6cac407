"""Events that tell what is not so: each consumer looks at what stands, and buries what contradicts it."""

import asyncio
import json
from collections.abc import Iterable
from io import BytesIO

import pytest
from pypdf import PdfReader

from bbws.consumers import CONSUMERS
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.ids import new_id
from bbws.shared.sales.repositories.invoices import InvoiceRepository
from tests.support.builders import a_billing_address, a_tenant, registration_requested
from tests.support.consuming import letters, publish, running, send
from tests.support.market import Market, invoiced, paid
from tests.support.waiting import eventually

BUYING = ("order-record", "order-pdf", "customer-notify", "internal-notify")
NOTIFYING = ("customer-notify", "internal-notify")


async def _reasons(market: Market, queues: Iterable[str], event: Envelope) -> dict[str, str]:
    """Why the event lies in the dead letters of each of these queues, at its first attempt."""

    async def buried() -> bool:
        return all([await letters(market, queue) for queue in queues])

    await eventually(buried, within_s=60, what=f"the event is buried in {queues}")
    found = {queue: (await letters(market, queue))[0] for queue in queues}
    assert {letter["dead-letter-receive-count"] for letter in found.values()} == {"1"}
    assert {json.loads(letter["body"])["id"] for letter in found.values()} == {event.id}
    return {queue: letter["dead-letter-reason"] for queue, letter in found.items()}


async def _nothing_came_of_it(market: Market) -> None:
    assert await InvoiceRepository(market.services.database).last_serial() == 0
    assert await market.aws.mails() == []


async def test_payment_of_an_order_that_nobody_placed_is_refused_by_all(market: Market) -> None:
    """An order is stored before anybody can pay it. An invoice number that was taken cannot be given back."""
    event = paid((await market.order()).replace(id=(unknown := new_id())))
    async with running(market.services.settings, *CONSUMERS):
        await publish(market, event)
        reasons = await _reasons(market, BUYING, event)
    assert reasons == dict.fromkeys(BUYING, f"Not found: there is no order {unknown}")
    await _nothing_came_of_it(market)


async def test_payment_that_contradicts_its_order_is_refused_by_all(market: Market) -> None:
    """Ten rand for an order of R 249: no invoice over either."""
    order = await market.order()
    event = paid(order)
    event = event.model_copy(
        update={"data": event.data.replace(payment=event.data.payment.replace(amount_cents=10_00))}
    )
    async with running(market.services.settings, *CONSUMERS):
        await publish(market, event)
        reasons = await _reasons(market, BUYING, event)
    reason = f"Conflict: ORDER_CREATED contradicts order {order.id} in payment.amount_cents"
    assert reasons == dict.fromkeys(BUYING, reason)
    await _nothing_came_of_it(market)
    assert (await market.services.orders.get(order.tenant_id, order.id)).status == "PENDING_PAYMENT"


@pytest.mark.parametrize("recorded", [False, True], ids=["ahead of order-record", "behind order-record"])
async def test_buyer_is_whom_the_order_names(market: Market, recorded: bool) -> None:
    """An event with another name and address brings nobody else's invoice, and no mail to anybody else.

    It is not refused: an address that was corrected after the payment differs as well, and the order is right.
    """
    order = await market.order()
    stranger = {"customer_email": "stranger@example.com", "billing_address": a_billing_address(name="Stranger & Sons")}
    honest = paid(order)
    event = honest.model_copy(update={"data": honest.data.replace(order=honest.data.order.replace(**stranger))})
    if recorded:
        await market.services.payments.record(honest)
    async with running(market.services.settings, "order-pdf", "notify"):
        await publish(market, event)

        async def confirmed() -> bool:
            return len(await market.mail_kinds(order)) == 4

        await eventually(confirmed, within_s=60, what="both confirmations went to both")
    invoice = await market.services.invoices.get(order.tenant_id, order.id)
    assert (invoice.order.customer_email, invoice.order.billing_address) == (
        order.customer_email,
        order.billing_address,
    )
    assert (invoice.order.status, invoice.order.payment_details) == ("PAID", honest.data.order.payment_details)
    mails = await market.aws.mails()
    assert order.customer_email in {mail["To"] for mail in mails}
    assert not [mail for mail in mails if "stranger" in mail.as_string().lower()]
    pages = PdfReader(BytesIO(await market.services.invoices.pdf(order.tenant_id, order.id))).pages
    assert order.billing_address.name in "".join(page.extract_text() for page in pages)


async def test_invoice_of_an_unpaid_order_is_refused_by_all(market: Market) -> None:
    """Nobody is thanked for a payment that was not made."""
    order = await market.order()
    event = invoiced(paid(order))
    async with running(market.services.settings, *CONSUMERS):
        await publish(market, event)
        reasons = await _reasons(market, NOTIFYING, event)
    assert reasons == dict.fromkeys(NOTIFYING, f"Not found: order {order.id} has no issued invoice INV-000042")
    await _nothing_came_of_it(market)


async def test_invoice_that_overtakes_the_payment_is_mailed(market: Market) -> None:
    """Consumers do not wait for each other: the order is not PAID yet when its invoice is announced, and that is
    nothing wrong."""
    order = await market.order()
    async with running(market.services.settings, "order-pdf", "notify"):
        await publish(market, paid(order))

        async def confirmed() -> bool:
            return len(await market.mail_kinds(order)) == 4

        await eventually(confirmed, within_s=60, what="both confirmations went to both")
        assert (await market.services.orders.get(order.tenant_id, order.id)).status == "PENDING_PAYMENT"
    assert [await letters(market, queue) for queue in NOTIFYING] == [[], []]


@pytest.mark.parametrize("known", [False, True], ids=["no such tenant", "another address"])
async def test_link_for_whom_it_is_not_is_refused(market: Market, known: bool) -> None:
    """Whoever follows the link becomes the owner of the tenant."""
    tenant = await market.tenant() if known else a_tenant()
    event = registration_requested(tenant, email="stranger@example.com")
    async with running(market.services.settings, "notify"):
        await publish(market, event)
        reasons = await _reasons(market, ("customer-notify",), event)
    wrong = f"Conflict: REGISTRATION_REQUESTED is for an address that is not the one of tenant {tenant.id}"
    assert reasons == {"customer-notify": wrong if known else f"Not found: there is no tenant {tenant.id}"}
    assert await market.aws.mails() == []


async def test_a_sale_goes_through_consumers_that_do_not_know_all_of_it(market: Market) -> None:
    """The gateway is deployed first, with fields that no consumer has heard of."""
    order = await market.order()
    said = json.loads(paid(order).to_json())
    for grown in (
        said,
        said["data"],
        said["data"]["order"],
        said["data"]["order"]["items"][0],
        said["data"]["payment"],
    ):
        grown["surprise"] = {"of": "tomorrow"}
    async with running(market.services.settings, *CONSUMERS):
        await asyncio.gather(*(send(market, queue, json.dumps(said)) for queue in BUYING))

        async def sold() -> bool:
            now = await market.services.orders.get(order.tenant_id, order.id)
            return now.status == "PAID" and len(await market.mail_kinds(order)) == 4

        await eventually(sold, within_s=60, what="order, invoice and mails are there")
    assert [await letters(market, queue) for queue in BUYING] == [[]] * len(BUYING)
