"""Receipts and invoices, as text of the HTML and as text of the PDF."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from io import BytesIO

import pypdfium2
import pytest
import pytest_asyncio
from PIL import ImageOps
from pypdf import PdfReader

from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.documents import DOCUMENTS, InvoiceDocument
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.integrations.pdf import PdfRenderer
from bbws.shared.templating import PackagedTemplates, Source, TemplateError, Templates
from tests.support.builders import (
    PAID_AT,
    a_billing_address,
    a_campaign,
    a_paid_order,
    a_product,
    a_seller,
    a_snapshot,
    an_invoice,
    an_item,
    an_order,
)
from tests.support.documents import PAPERS, a_context

MARGIN_PT = 16 / 25.4 * 72
INVOICE = "invoices/invoice.html"
TEMPLATES = Templates(PackagedTemplates())
# Takes from a worker what would draw a paper slowly: whoever needs it from here on fails.
WITHOUT_SLOW_WAYS = """
import weasyprint, weasyprint.document, weasyprint.layout.block, weasyprint.layout.preferred, weasyprint.layout.table
weasyprint.preprocess_stylesheet = None
weasyprint.document.FontConfiguration = None
weasyprint.layout.table.auto_table_layout = None
weasyprint.layout.block.flex_layout = weasyprint.layout.block.grid_layout = None
"""
ROW = re.compile(r'<th scope="row"[^>]*>(.*?)</th><td[^>]*>(.*?)</td>')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pdf() -> AsyncIterator[PdfRenderer]:
    async with PdfRenderer(1) as renderer:
        yield renderer


async def pages(pdf: PdfRenderer, name: str, context: Contract) -> list[str]:
    """The text of each page, its white space (no-break spaces as well) made single spaces."""
    html = await TEMPLATES.render(name, context)
    reader = PdfReader(BytesIO(await pdf.render(html, title=name, created=PAID_AT)))
    return [" ".join(page.extract_text().split()) for page in reader.pages]


def discounted_order() -> Order:
    product = a_product(price_cents=249_00)
    return a_paid_order(
        an_item(product, quantity=2, discount_percentage=Decimal("12.5")),
        an_item(a_product(name="Extra storage", price_cents=99_00)),
        campaign=a_snapshot(a_campaign(product, discount_percentage=Decimal("12.5"))),
        billing_address=a_billing_address(name="Protea Bakery (Pty) Ltd", vat_number="4987654321"),
    )


class Misspelt:
    """The packaged templates, one of them with a variable that nobody gives it."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def load(self, name: str, version: str | None = None) -> Source:
        source = await PackagedTemplates().load(name, version)
        if name != self._name:
            return source
        text, count = re.subn(r"(\{% block \w+ %\})", r"\1{{ unheard_of }}", source.text, count=1)
        assert count == 1
        return Source(text, "misspelt")


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_every_document_renders_and_refuses_an_unknown_variable(name: str) -> None:
    """A blank where an amount should be is worse than no document."""
    assert "<html" in await TEMPLATES.render(name, a_context(name))
    with pytest.raises(TemplateError, match="'unheard_of' is undefined"):
        await Templates(Misspelt(name)).render(name, a_context(name))


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_what_customers_write_is_text(name: str) -> None:
    """Names go into HTML that colleagues and other customers open: no script, no template, no turned-round text."""
    hostile = a_billing_address(name="<script>alert(1)</script>{{7*7}} \u202eمخبز 😀")
    html = await TEMPLATES.render(name, a_context(name, a_paid_order(billing_address=hostile)))
    assert "<script" not in html
    assert "\u202e" not in html
    if name != "notifications/site_creation_internal.html":
        assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}} مخبز 😀" in html


async def test_a_tax_invoice_holds_what_section_20_4_asks_for(pdf: PdfRenderer) -> None:
    """VAT Act 89 of 1991, section 20(4): without these the customer cannot claim the VAT back."""
    order = discounted_order()
    [text] = await pages(pdf, INVOICE, InvoiceDocument(invoice=an_invoice(order, number="INV-001234")))
    for said in (
        "Tax Invoice",
        "BBWS Hosting (Pty) Ltd 12 Loop Street, Cape Town, 8001, South Africa VAT no. 4123456789",
        "Protea Bakery (Pty) Ltd 4 Jan Smuts Avenue Johannesburg, 2196 South Africa VAT no. 4987654321",
        "Invoice no. INV-001234",
        "Date of issue 21 November 2026",
        # description, quantity, unit price, discount, value, VAT, total: 498.00 less 62.25 is 435.75
        "WordPress Business Hosting, billed monthly 2 R 249.00 −R 62.25 R 378.91 R 56.84 R 435.75",
        "Extra storage Hosting, billed monthly 1 R 99.00 – R 86.09 R 12.91 R 99.00",
        "Value excl. VAT R 465.00 VAT 15 % R 69.75 Total incl. VAT R 534.75",
        "VAT 15 % is included in the total",
        "Payment reference 1089250",
        "SUMMER10: Ten per cent off in November (12.5 %)",
        "Page 1 of 1",
    ):
        assert said in text
    assert "copy" not in text.lower()


async def test_who_is_no_vendor_shows_no_vat(pdf: PdfRenderer) -> None:
    """To show VAT, or to call it a tax invoice, without being registered is an offence (section 58)."""
    order = a_paid_order(an_item(vat=0), vat_rate_percent=0)
    for name in PAPERS:
        [text] = await pages(pdf, name, a_context(name, order, a_seller(vat_number=None)))
        assert "VAT" not in text
        assert "tax" not in text.lower()
        assert "R 249.00" in text
    [text] = await pages(pdf, INVOICE, a_context(INVOICE, order, a_seller(vat_number=None)))
    assert "Invoice INV-000042" in text


async def test_copies_say_so(pdf: PdfRenderer) -> None:
    """There is one original per supply; whatever else is printed must be recognisable as copy."""
    [copy] = await pages(pdf, INVOICE, InvoiceDocument(invoice=an_invoice(), is_copy=True))
    assert "INV-000042 COPY" in copy
    for name in (name for name in PAPERS if name.endswith("_internal.html")):
        order = a_paid_order()
        [text] = await pages(pdf, name, a_context(name, order))
        assert "INTERNAL COPY" in text
        assert f"Tenant {order.tenant_id}" in text


async def test_twenty_lines_flow_over_and_repeat_the_head(pdf: PdfRenderer) -> None:
    """The largest order there is must stay readable: heads on each page, long names wrapped, the total with a line."""
    items = [an_item(a_product(name=f"Hosting {n} " + "Q" * 85, price_cents=99_999_99), quantity=9) for n in range(20)]
    order = a_paid_order(*items, billing_address=a_billing_address(name="W" * 120))
    texts = await pages(pdf, INVOICE, InvoiceDocument(invoice=an_invoice(order)))
    assert len(texts) > 1
    for number, text in enumerate(texts, 1):
        assert "Description Qty Unit price incl. VAT" in text
        assert f"Page {number} of {len(texts)}" in text
    whole = "".join(texts).replace(" ", "")
    assert all(f"Hosting{n}" + "Q" * 85 in whole for n in range(20))
    assert "W" * 120 in whole
    assert "Hosting 19" in texts[-1]
    assert "Total incl. VAT R 17 999 998.20" in texts[-1]


async def test_nothing_is_printed_outside_the_page(pdf: PdfRenderer) -> None:
    """A long name without a space must not push amounts over the edge of the paper."""
    order = a_paid_order(
        *(an_item(a_product(name="M" * 100, price_cents=33_333_33), quantity=1000) for _ in range(3)),
        billing_address=a_billing_address(name="W" * 120, line1="W" * 120, city="W" * 80),
        customer_email=f"{'w' * 60}@{'w' * 60}.example",
    )
    html = await TEMPLATES.render(INVOICE, InvoiceDocument(invoice=an_invoice(order)))
    printed = pypdfium2.PdfDocument(await pdf.render(html, title="x", created=PAID_AT))
    for page in printed:
        picture = page.render(scale=1).to_pil().convert("L")
        box = ImageOps.invert(picture).getbbox()
        assert box is not None
        left, _, right, _ = box
        assert left >= MARGIN_PT - 2
        assert right <= picture.width - MARGIN_PT + 2


@pytest.mark.process
async def test_papers_are_drawn_without_the_slow_ways_of_weasyprint() -> None:
    """Half of an invoice's time was finding widths, a sixth fonts and style sheets that the page before had too."""
    async with PdfRenderer(1) as renderer:
        before = [await pages(renderer, name, a_context(name, discounted_order())) for name in PAPERS]
        await renderer._run(exec, WITHOUT_SLOW_WAYS)
        after = [await pages(renderer, name, a_context(name, discounted_order())) for name in PAPERS]
    assert [len(paper) for paper in before] == [len(paper) for paper in after] == [1] * len(PAPERS)


@pytest.mark.parametrize("price_cents", [9_00, 999_00, 9_999_99, 33_333_33])
@pytest.mark.parametrize("quantity", [1, 10, 1000])
async def test_amounts_keep_to_their_columns(pdf: PdfRenderer, price_cents: int, quantity: int) -> None:
    """Two amounts that touch read as a third one."""
    product = a_product(name="M" * 100, price_cents=price_cents)
    order = a_paid_order(an_item(product, quantity=quantity, discount_percentage=35))
    html = await TEMPLATES.render(INVOICE, InvoiceDocument(invoice=an_invoice(order)))
    for page in pypdfium2.PdfDocument(await pdf.render(html, title="x", created=PAID_AT)):
        text = page.get_textpage()
        boxes = sorted(text.get_rect(n) for n in range(text.count_rects()))
        for n, (left, bottom, right, top) in enumerate(boxes):
            beside = [box for box in boxes[n + 1 :] if box[1] < top and box[3] > bottom]
            assert all(box[0] >= right + 4 for box in beside), f"something at {left:.0f}, {top:.0f} runs into the next"


async def test_an_unpaid_order_says_what_it_is(pdf: PdfRenderer) -> None:
    """A printed order must not pass as invoice or as proof of payment."""
    [text] = await pages(pdf, "receipts/order.html", a_context("receipts/order.html", an_order()))
    assert "Status Waiting for payment" in text
    assert "This is an order, not a tax invoice." in text
    assert "1089250" not in text


async def test_a_receipt_names_amount_moment_and_reference(pdf: PdfRenderer) -> None:
    """Proof of payment is what a customer sends to their bank or bookkeeper."""
    [text] = await pages(pdf, "receipts/receipt.html", a_context("receipts/receipt.html"))
    assert re.search(r"AMOUNT RECEIVED R 249\.00 ?R 32\.48 VAT \(15 %\) is included", text)
    assert "Paid 21 November 2026, 19:34 SAST Method PayFast Reference 1089250" in text


@pytest.mark.parametrize("name", PAPERS)
async def test_the_whole_address_is_printed(name: str) -> None:
    """A tax invoice without the recipient's address and VAT number is none, and post needs the second line."""
    address = a_billing_address(
        name="Nkosi and Sons", line1="Unit 7", line2="The Old Mill", city="Gaborone", postal_code="0083", country="BW",
        vat_number="4987654321",
    )  # fmt: skip
    order = a_paid_order(billing_address=address, customer_email="thandi@nkosi.example")
    html = await TEMPLATES.render(name, a_context(name, order))
    for said in (*address.model_dump(mode="json").values(), order.customer_email):
        assert said in html, said
    at_home = a_paid_order(billing_address=a_billing_address())
    assert "South Africa" in (await TEMPLATES.render(name, a_context(name, at_home))).replace(", South Africa", "")


@pytest.mark.parametrize("name", PAPERS)
async def test_each_row_says_its_own_fact(name: str) -> None:
    """Ordered, paid and changed on three days: whoever books a paper reads one row and trusts it."""
    order = discounted_order()
    details, campaign = order.payment_details, order.campaign
    assert details
    assert campaign
    order = order.replace(
        payment_details=details.replace(paid_at=PAID_AT + timedelta(days=1)),
        date_last_updated=PAID_AT + timedelta(days=2),
        last_updated_by="order-record",
    )
    html = await TEMPLATES.render(name, a_context(name, order))
    found = [[" ".join(re.sub("<[^>]+>", " ", part).split()) for part in row] for row in ROW.findall(html)]
    facts = {
        "receipts/receipt": [
            ["Paid", "22 November 2026, 19:34 SAST"],
            ["Method", "PayFast"],
            ["Reference", "1089250"],
            ["Order", order.id],
        ],
        "receipts/order": [
            ["Order date", "21 November 2026"],
            ["Status", "Paid"],
            ["Paid", "22 November 2026, PayFast 1089250"],
            ["Online", f"https://bbws.example/orders/{order.id}"],
        ],
        "invoices/invoice": [
            ["Invoice no.", "INV-000042"],
            ["Date of issue", "21 November 2026"],
            ["Order", order.id],
            ["Order date", "21 November 2026"],
        ],
    }
    sums = [
        ["Value excl. VAT", "R 465.00"],
        ["VAT 15 %", "R 69.75"],
        ["Total incl. VAT", "R 534.75"],
        ["You saved", "R 62.25"],
    ]
    books = [
        ["Tenant", order.tenant_id],
        ["Order", f"{order.id}, PAID, version 2"],
        ["Placed", "21 November 2026, 19:30 SAST"],
        ["Changed", "23 November 2026, 19:34 SAST by order-record"],
        ["Customer", "thandi@protea.example"],
        ["Payment", details.payment_id],
        ["PayFast", "1089250, 22 November 2026, 19:34 SAST"],
        ["Campaign", f"SUMMER10, {campaign.id}"],
    ]
    document = name.removesuffix(".html").removesuffix("_internal")
    assert found == [
        *facts[document],
        *([] if document == "receipts/receipt" else sums),
        *(books if "_internal" in name else []),
    ]
