"""Mails about orders: each kind once per order, as far as SES allows it (C-38)."""

import asyncio

import pytest

from bbws.shared.bootstrap import bootstrap
from bbws.shared.contracts.sales.order_events import InvoiceIssued, OrderCreated
from bbws.shared.core.mailing import MailUnderWay
from bbws.shared.dynamo.database import Update
from bbws.shared.dynamo.keys import ORDERS
from bbws.shared.errors import NotFound, Rejected, Unavailable
from bbws.shared.sales.repositories.orders import ERASED
from bbws.shared.sales.services.notifications import Audience
from bbws.shared.settings import Settings
from tests.support.builders import a_billing_address
from tests.support.market import Market, MovedClock, invoiced, paid
from tests.support.waiting import eventually

LEASE_S = 25
KIND = "order_confirmation_customer"


async def _a_sale(market: Market, **fields: object) -> tuple[OrderCreated, InvoiceIssued]:
    """A paid order with its invoice, and its two PDFs in the bucket."""
    event = paid(await market.order(**fields))
    issued = await market.issued(event)
    for key, content in ((issued.data.document_key, b"%PDF-1"), (issued.data.internal_document_key, b"%PDF-2")):
        await market.services.document_store.put_once(key, content, "application/pdf")
    return event, issued


@pytest.mark.parametrize("audience", ["customer", "internal"])
@pytest.mark.parametrize("kind", ["order_confirmation", "payment_confirmation"])
async def test_each_kind_is_sent_once(shared_market: Market, kind: str, audience: Audience) -> None:
    """Ten deliveries at the same moment and two later ones: one mail; who meets the sender is told to come again."""
    event, issued = await _a_sale(shared_market)
    notifications = shared_market.services.notifications

    async def confirm() -> None:
        if kind == "order_confirmation":
            await notifications.confirm_order(event, audience)
        else:
            await notifications.confirm_payment(issued, audience)

    answers = await asyncio.gather(*(confirm() for _ in range(10)), return_exceptions=True)
    assert {type(answer) for answer in answers} <= {type(None), MailUnderWay}
    assert None in answers
    for _ in range(2):
        await confirm()
    assert await shared_market.mail_kinds(event.data.order) == [f"{kind}_{audience}"]


async def test_ses_outage_is_over_at_once(market: Market) -> None:
    """Nothing was sent, so nobody waits for the lease: the next try sends."""
    event, _ = await _a_sale(market)
    await market.aws.inject("sesv2")
    with pytest.raises(Unavailable) as outage:
        await market.services.notifications.confirm_order(event, "customer")
    assert outage.value.dependency == "ses"
    await market.aws.heal()
    await market.services.notifications.confirm_order(event, "customer")
    assert await market.mail_kinds(event.data.order) == [KIND]


async def test_mail_that_ses_refuses_is_refused(market: Market) -> None:
    """What SES will never take goes to the dead letters with SES's words, and is sent once an operator redrives it."""
    event, _ = await _a_sale(market)
    await market.aws.inject("sesv2", status=400, code="MessageRejected")
    with pytest.raises(Rejected, match="MessageRejected"):
        await market.services.notifications.confirm_order(event, "customer")
    await market.aws.heal()
    await market.services.notifications.confirm_order(event, "customer")
    assert await market.mail_kinds(event.data.order) == [KIND]


async def test_invoice_that_cannot_be_read_stops_the_mail(market: Market) -> None:
    """A payment confirmation without its invoice is no confirmation; once S3 is back it is sent at once."""
    event, issued = await _a_sale(market)
    await market.aws.inject("s3", operation="GET object")
    with pytest.raises(Unavailable) as outage:
        await market.services.notifications.confirm_payment(issued, "customer")
    assert outage.value.dependency == "s3"
    await market.aws.heal()
    without_pdf = await market.issued(paid(await market.order()))
    with pytest.raises(NotFound, match=r"INV-000042\.pdf"):
        await market.services.notifications.confirm_payment(without_pdf, "customer")
    await market.services.notifications.confirm_payment(issued, "customer")
    assert await market.mail_kinds(event.data.order) == ["payment_confirmation_customer"]


async def test_lease_of_a_dead_sender_is_respected_then_taken_over(market: Market, clock: MovedClock) -> None:
    """Who died over a mail is waited for as long as it might still be alive, no longer."""
    event, _ = await _a_sale(market)
    order, notifications = event.data.order, market.services.notifications
    await market.aws.inject("sesv2", latency_ms=3000, status=None)
    dying = asyncio.create_task(notifications.confirm_order(event, "customer"))
    await eventually(lambda: market.items_beside(order), what="the mail is claimed")
    with pytest.raises(MailUnderWay) as under_way:
        await notifications.confirm_order(event, "customer")
    dying.cancel()
    await asyncio.wait([dying])
    await market.aws.heal()
    assert LEASE_S - 10 < under_way.value.retry_after_s <= LEASE_S
    clock.advance(LEASE_S - 10)
    with pytest.raises(MailUnderWay):
        await notifications.confirm_order(event, "customer")
    before = len(await market.mail_kinds(order))
    clock.advance(11)
    await notifications.confirm_order(event, "customer")
    assert await market.mail_kinds(order) == [KIND] * (before + 1)


async def test_crash_between_ses_and_our_record_sends_twice(market: Market, clock: MovedClock) -> None:
    """The window of C-38: SES took the mail, and we could not write that down.

    SES knows no idempotency key, so nobody can tell later whether the mail left. The lease ends and it is sent again:
    exactly two mails, never none, and none after the second is on record.
    """
    event, _ = await _a_sale(market)
    order, notifications = event.data.order, market.services.notifications
    await market.aws.inject("dynamodb", operation="UpdateItem")
    with pytest.raises(Unavailable) as crash:
        await notifications.confirm_order(event, "customer")
    await market.aws.heal()
    assert crash.value.dependency == "dynamodb"
    assert await market.mail_kinds(order) == [KIND]
    with pytest.raises(MailUnderWay):
        await notifications.confirm_order(event, "customer")
    assert await market.mail_kinds(order) == [KIND]
    clock.advance(LEASE_S + 1)
    await notifications.confirm_order(event, "customer")
    clock.advance(LEASE_S + 1)
    await notifications.confirm_order(event, "customer")
    assert await market.mail_kinds(order) == [KIND, KIND]


async def test_attachments_are_the_stored_pdfs(shared_market: Market) -> None:
    """Byte for byte what lies in the bucket: the invoice for the customer, the internal copy for the team."""
    event, issued = await _a_sale(shared_market)
    for audience in ("customer", "internal"):
        await shared_market.services.notifications.confirm_payment(issued, audience)
    mails = {str(m["To"]): list(m.iter_attachments()) for m in await shared_market.mails_of(event.data.order)}
    seen = {to: [(a.get_filename(), a.get_content_type(), a.get_content()) for a in of] for to, of in mails.items()}
    assert seen == {
        "thandi@protea.example": [("INV-000042.pdf", "application/pdf", b"%PDF-1")],
        "sales@bbws.example": [("INV-000042-internal.pdf", "application/pdf", b"%PDF-2")],
    }


async def test_mail_has_text_html_and_says_what_it_is_about(shared_market: Market) -> None:
    """People read one of both parts; programs must see that no person wrote it."""
    event, _ = await _a_sale(shared_market)
    await shared_market.services.notifications.confirm_order(event, "customer")
    (mail,) = await shared_market.mails_of(event.data.order)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    for part in (text, html):
        assert event.data.order.id in part.get_content()
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"] == "BBWS Hosting <orders@bbws.example>"
    assert list(mail.iter_attachments()) == []


@pytest.mark.own_account
async def test_team_may_be_several(provisioned: Settings, market: Market) -> None:
    """Every internal recipient is told, in one mail."""
    settings = provisioned.model_copy(
        update={"mail_internal_recipients": ("a@bbws.example", "Team B <b@bbws.example>")}
    )
    async with bootstrap(settings) as services:
        event, _ = await _a_sale(market)
        await services.notifications.confirm_order(event, "internal")
    (mail,) = await market.aws.mails()
    assert [address.addr_spec for address in mail["To"].addresses] == ["a@bbws.example", "b@bbws.example"]
    assert mail["X-SES-Destinations"] == "a@bbws.example, b@bbws.example"


@pytest.mark.parametrize(
    "name",
    [
        '"Sales" <boss@bbws.example>, Bcc: spy@evil.example',
        "=?utf-8?q?x?= =?utf-8?q?=0D=0ABcc:_spy@evil.example?=",
        "Bcc: spy@evil.example " * 5,
        "\u202etxt.exe Nkosi — Söhne 🥐",
    ],
)
async def test_names_never_become_headers(shared_market: Market, name: str) -> None:
    """What a customer calls himself or a product is text: no recipient, header or line comes of it."""
    product = await shared_market.product(name=name[:100])
    tenant = await shared_market.tenant()
    order = await shared_market.place(tenant, product, billing_address=a_billing_address(name=name[:120]))
    for audience in ("customer", "internal"):
        await shared_market.services.notifications.confirm_order(paid(order), audience)
    for mail in await shared_market.mails_of(order):
        assert mail["Bcc"] is None
        assert str(mail["To"]) in ("thandi@protea.example", "sales@bbws.example")
        assert str(mail["X-SES-Destinations"]) == str(mail["To"])
        assert len(str(mail["Subject"]).splitlines()) == 1
        assert "\u202e" not in str(mail["Subject"])


async def test_international_domain_travels_as_punycode(shared_market: Market) -> None:
    """SES takes ASCII only; an encoded word in the place of an address would reach nobody."""
    event, _ = await _a_sale(shared_market, customer_email="Thandi <thandi@büro.co.za>")
    await shared_market.services.notifications.confirm_order(event, "customer")
    (mail,) = await shared_market.mails_of(event.data.order)
    assert str(mail["To"]) == "thandi@xn--bro-hoa.co.za"
    assert str(mail["X-SES-Destinations"]) == "thandi@xn--bro-hoa.co.za"


@pytest.mark.parametrize("fields", [{"status": "NUMBERED"}, {"number": "INV-000041"}], ids=["not yet", "another"])
async def test_invoice_that_was_not_issued_is_not_mailed(shared_market: Market, fields: dict[str, str]) -> None:
    """The event leaves with the step to ISSUED: before it, and under another number, it is somebody's invention."""
    event = paid(await shared_market.order())
    await shared_market.issued(event, **fields)
    with pytest.raises(NotFound, match="no issued invoice INV-000042"):
        await shared_market.services.notifications.confirm_payment(invoiced(event), "customer")
    assert await shared_market.mails_of(event.data.order) == []


async def test_confirmation_goes_to_whom_the_order_says(shared_market: Market) -> None:
    """With it goes the key to the order's pages: an event must not choose who gets it."""
    event = paid(await shared_market.order())
    told = event.data.order.replace(customer_email="stranger@example.com")
    wrong = event.model_copy(update={"data": event.data.replace(order=told)})
    await shared_market.services.notifications.confirm_order(wrong, "customer")
    (mail,) = await shared_market.mails_of(event.data.order)
    assert str(mail["To"]) == "thandi@protea.example"


async def test_erased_customer_gets_no_confirmation(shared_market: Market) -> None:
    """The tenant was purged while the event waited, which still has the address: no mail, also not of its invoice."""
    order = await shared_market.order()
    erased = {"billingAddress": {"name": ERASED, "line1": ERASED, "city": ERASED, "postalCode": "0", "country": "ZA"}}
    key = (f"TENANT#{order.tenant_id}", f"ORDER#{order.id}")
    await shared_market.services.database.write(Update(ORDERS, key, erased))
    # Its invoice was issued after the purge.
    issued = await shared_market.issued(paid(await shared_market.services.orders.get(order.tenant_id, order.id)))
    for audience in ("customer", "internal"):
        await shared_market.services.notifications.confirm_order(paid(order), audience)
        await shared_market.services.notifications.confirm_payment(issued, audience)
    assert await shared_market.mails_of(order) == []
