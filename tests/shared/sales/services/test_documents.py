"""The printable order and the payment receipt."""

from io import BytesIO

import pytest
from pypdf import PdfReader

from bbws.shared.errors import NotFound
from bbws.shared.ids import new_id
from bbws.shared.sales.services.documents import Kind
from tests.support.market import Market, paid


@pytest.mark.parametrize("kind", ["order", "receipt"])
async def test_document_as_page_and_as_pdf(shared_market: Market, kind: Kind) -> None:
    """The same document both ways, with what was bought and what was paid; the PDF is the same bytes each time."""
    order = await shared_market.order()
    await shared_market.services.payments.record(paid(order))
    render = shared_market.services.documents.render
    html = (await render(order.tenant_id, order.id, kind, "html")).decode()
    pdf = await render(order.tenant_id, order.id, kind, "pdf")
    text = "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)
    for shown in ("WordPress Business", "249.00", "Thandi Nkosi"):
        assert shown in html
        assert shown in text
    assert pdf == await render(order.tenant_id, order.id, kind, "pdf")


async def test_receipt_comes_with_the_payment(shared_market: Market) -> None:
    """404 before: a receipt for money that was not paid would be a lie. The order can be printed at once."""
    order = await shared_market.order()
    render = shared_market.services.documents.render
    with pytest.raises(NotFound, match="not paid yet"):
        await render(order.tenant_id, order.id, "receipt", "html")
    assert order.id.encode() in await render(order.tenant_id, order.id, "order", "html")


@pytest.mark.parametrize("kind", ["order", "receipt"])
async def test_stranger_gets_no_document(shared_market: Market, kind: Kind) -> None:
    """Unknown orders and other tenants' orders are the same 404."""
    order = await shared_market.order()
    for tenant_id, order_id in ((new_id(), order.id), (order.tenant_id, new_id())):
        with pytest.raises(NotFound):
            await shared_market.services.documents.render(tenant_id, order_id, kind, "html")
