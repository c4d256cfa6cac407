"""Invoices: a gapless series, one for each order, the same bytes whatever happens in between."""

import asyncio
import random
from datetime import UTC, datetime
from io import BytesIO
from urllib.parse import parse_qsl, urlsplit

import pytest
from pypdf import PdfReader

from bbws.shared.bootstrap import bootstrap
from bbws.shared.contracts.sales.invoices import invoice_number
from bbws.shared.contracts.sales.order_events import InvoiceIssued
from bbws.shared.dynamo.database import Update, Write
from bbws.shared.errors import NotFound, Unavailable
from bbws.shared.ids import derived_id
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.sales.repositories.invoices import InvoiceRepository
from bbws.shared.settings import Settings
from tests.support.clock import HandClock
from tests.support.market import Market, MovedClock, paid
from tests.support.meanwhile import meanwhile
from tests.support.waiting import eventually

# The numbers of invoices are one series.
pytestmark = pytest.mark.own_account


async def _issued(market: Market) -> list[InvoiceIssued]:
    """Every INVOICE_ISSUED that waits in `customer-notify`, taken out of it."""
    taken: list[InvoiceIssued] = []
    async with market.aws.client("sqs") as sqs:
        url = await market.queue_url(sqs, "customer-notify")
        while messages := (await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)).get("Messages"):
            taken += [InvoiceIssued.model_validate_json(message["Body"]) for message in messages]
            for message in messages:
                await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return taken


def _text(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


async def test_numbers_have_no_gap_and_no_double(market: Market) -> None:
    """SARS wants one series: twenty orders at once in two processes take 1 to 20, each once, and 21 comes next."""
    orders = [await market.order() for _ in range(20)]
    async with bootstrap(market.services.settings) as other:
        processes = (market.services.invoices, other.invoices)
        numbered = await asyncio.gather(
            *(processes[n % 2]._number(paid(order)) for n, order in enumerate(orders)),
        )
    assert sorted(invoice.number for invoice in numbered) == [invoice_number(n) for n in range(1, 21)]
    assert (await market.services.invoices._number(paid(await market.order()))).number == "INV-000021"


async def test_issued_once_however_often_it_is_asked(market: Market) -> None:
    """Twice at once and once more later: one number, one version of each PDF, one event."""
    order = await market.order()
    event, invoices = paid(order), market.services.invoices
    first, second = await asyncio.gather(invoices.issue(event), invoices.issue(event))
    third = await invoices.issue(event)
    assert (first.number, second.number, third.status) == ("INV-000001", "INV-000001", "ISSUED")
    assert await invoices.get(order.tenant_id, order.id) == third
    folder = f"tenants/{order.tenant_id}/orders/{order.id}"
    assert await market.pdf_versions(order) == [f"{folder}/INV-000001-internal.pdf", f"{folder}/INV-000001.pdf"]
    (issued,) = await _issued(market)
    assert (issued.data.invoice_number, issued.causationid) == ("INV-000001", event.id)
    assert issued.id == derived_id("INVOICE_ISSUED", "INV-000001"), "whoever hears of it twice must be able to tell"
    assert issued.data.document_key == f"{folder}/INV-000001.pdf"
    pdf = await invoices.pdf(order.tenant_id, order.id)
    assert pdf == await market.pdf(issued.data.document_key)
    for wanted in ("Tax Invoice", "INV-000001", "4123456789", "R 249.00", "R 32.48"):
        assert wanted.lower() in _text(pdf).replace("\N{NO-BREAK SPACE}", " ").lower()


async def test_crash_leaves_number_and_bytes(
    market: Market, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 is out after the number was taken; tomorrow, with another template, the same number gets the same bytes."""
    order = await market.order()
    event, invoices = paid(order), market.services.invoices
    tried: dict[str, bytes] = {}
    put_once = DocumentStore.put_once

    async def remember(self: DocumentStore, key: str, content: bytes, content_type: str) -> bool:
        tried[key] = content
        return await put_once(self, key, content, content_type)

    with monkeypatch.context() as patch:
        patch.setattr(DocumentStore, "put_once", remember)
        await market.aws.inject("s3", operation="PUT object")
        with pytest.raises(Unavailable) as outage:
            await invoices.issue(event)
        await eventually(lambda: len(tried) == 2, what="both PDFs were rendered")
    assert outage.value.dependency == "s3"
    with pytest.raises(NotFound):
        await invoices.get(order.tenant_id, order.id)
    await market.aws.heal()
    await _change_template(market, "invoices/invoice.html")
    clock.advance(24 * 3600)
    async with bootstrap(market.services.settings, clock=clock) as another_process:
        issued = await another_process.invoices.issue(event)
        other = await another_process.invoices.issue(paid(await market.order()))
    assert (issued.number, other.number) == ("INV-000001", "INV-000002")
    assert await market.pdf(issued.document_key) == tried[issued.document_key]
    assert await market.pdf(issued.internal_document_key) == tried[issued.internal_document_key]
    assert "Changed meanwhile" in _text(await market.pdf(other.document_key))


async def _change_template(market: Market, name: str) -> None:
    bucket = market.services.topology.bucket("templates").name
    async with market.aws.client("s3") as s3:
        answer = await s3.get_object(Bucket=bucket, Key=name)
        text = (await answer["Body"].read()).decode()
        changed = text.replace("{% block content %}", "{% block content %}<p>Changed meanwhile</p>")
        assert changed != text
        await s3.put_object(Bucket=bucket, Key=name, Body=changed.encode())


async def test_crash_before_the_event_is_made_good(market: Market) -> None:
    """The PDFs stand, the event could not be committed: the next try commits it, with nothing stored twice."""
    order = await market.order()
    event = paid(order)
    await market.services.invoices._number(event)
    await market.aws.inject("dynamodb", operation="TransactWriteItems")
    with pytest.raises(Unavailable) as outage:
        await market.services.invoices.issue(event)
    assert outage.value.dependency == "dynamodb"
    assert await _issued(market) == []
    await market.aws.heal()
    assert (await market.services.invoices.issue(event)).number == "INV-000001"
    assert len(await _issued(market)) == 1
    assert len(await market.pdf_versions(order)) == 2


async def test_invoice_is_of_the_day_in_the_shop(market: Market) -> None:
    """At half past midnight in Cape Town it is the new month for SARS, and still the old one in UTC."""
    event = paid(await market.order())
    async with bootstrap(market.services.settings, clock=HandClock(datetime(2026, 11, 30, 22, 30, tzinfo=UTC))) as late:
        invoice = await late.invoices.issue(event)
    assert str(invoice.issue_date) == "2026-12-01"


def _announces(write: Write) -> bool:
    return isinstance(write, Update) and write.changes.get("status") == "ISSUED"


async def test_invoice_that_another_issues_at_this_moment_is_issued_once(market: Market) -> None:
    """Two processes draw it: the slower one answers with what stands, and no second event leaves."""
    event = paid(await market.order())
    async with bootstrap(market.services.settings) as other:
        with meanwhile(lambda: other.invoices.issue(event), before=_announces):
            invoice = await market.services.invoices.issue(event)
    order = event.data.order
    assert invoice == await market.services.invoices.get(order.tenant_id, order.id)
    assert (invoice.number, invoice.status, invoice.version) == ("INV-000001", "ISSUED", 2)
    assert len(await _issued(market)) == 1


async def test_order_that_another_numbers_at_this_moment_has_one_number(market: Market) -> None:
    """The slower one goes on with the number that stands: one more would be a gap that nobody can explain."""
    event = paid(await market.order())
    async with bootstrap(market.services.settings) as other:
        with meanwhile(lambda: other.invoices.issue(event)):
            invoice = await market.services.invoices.issue(event)
        following = await other.invoices.issue(paid(await market.order()))
    assert (invoice.number, invoice.status, following.number) == ("INV-000001", "ISSUED", "INV-000002")


async def test_number_that_another_order_takes_at_this_moment_is_not_taken_twice(market: Market) -> None:
    """Both read the same counter; whoever comes second has the next one."""
    first, second = paid(await market.order()), paid(await market.order())
    async with bootstrap(market.services.settings) as other:
        with meanwhile(lambda: other.invoices.issue(first)):
            invoice = await market.services.invoices.issue(second)
    taken = await market.services.invoices.get(first.data.order.tenant_id, first.data.order.id)
    assert (taken.number, invoice.number) == ("INV-000001", "INV-000002")


async def test_both_pdfs_stand_before_an_invoice_is_told(market: Market) -> None:
    """The mail reads the PDF a moment after the event: told first, it would go to the dead letters."""
    order = await market.order()
    stood: list[str] = []

    async def look() -> None:
        stood.extend(await market.pdf_versions(order))

    with meanwhile(look, before=_announces):
        await market.services.invoices.issue(paid(order))
    assert len(stood) == 2


async def test_counter_that_everybody_changes_is_told_as_unavailable(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message comes back: an invoice whose number is only hoped for is one that nobody stored."""
    await market.services.invoices.issue(paid(await market.order()))
    order = await market.order()

    async def stale(_: InvoiceRepository) -> int:
        return 0

    monkeypatch.setattr(random, "uniform", lambda *_: 0)
    monkeypatch.setattr(InvoiceRepository, "last_serial", stale)
    with pytest.raises(Unavailable, match="counter"):
        await market.services.invoices.issue(paid(order))
    with pytest.raises(NotFound):
        await market.services.invoices.get(order.tenant_id, order.id)


async def test_write_at_the_same_moment_is_tried_again(market: Market) -> None:
    """S3 answers 409 to one of two conditional writes that meet; AWS says to repeat it, and no message fails of it."""
    order = await market.order()
    await market.aws.inject("s3", operation="PUT object", status=409, code="ConditionalRequestConflict", times=1)
    assert (await market.services.invoices.issue(paid(order))).status == "ISSUED"
    assert len(await market.pdf_versions(order)) == 2


async def test_seller_who_is_no_vendor_makes_no_tax_invoice(provisioned: Settings, market: Market) -> None:
    """Claiming to be a vendor is an offence: no VAT, no VAT number, no "tax invoice"."""
    settings = provisioned.model_copy(update={"seller_vat_number": None})
    async with bootstrap(settings) as services:
        humble = Market(market.aws, services)
        order = await humble.order()
        invoice = await services.invoices.issue(paid(order))
    text = _text(await market.pdf(invoice.document_key)).lower()
    assert "invoice" in text
    assert "tax invoice" not in text
    assert "vat" not in text


async def test_link_opens_the_pdf_alone(market: Market) -> None:
    """The bucket is private; the link names the file as a customer wants to keep it."""
    order = await market.order()
    invoice = await market.services.invoices._number(paid(order))
    link = await market.services.invoices.link(invoice)
    assert invoice.document_key in link
    said = dict(parse_qsl(urlsplit(link).query))
    assert said["response-content-disposition"] == f'attachment; filename="{invoice.number}.pdf"'
    assert said["X-Amz-Expires"] == "900"
