"""Documents and invoice of an order, before and after it is paid."""

from typing import Any

from bbws.shared.contracts.events import OrderCreated
from bbws.shared.contracts.orders import PaymentDetails
from tests.gateway.support import Api
from tests.support.builders import PAID_AT, a_payment, order_created


async def _order(api: Api) -> dict[str, Any]:
    placed: dict[str, Any] = (await api.place(await api.a_tenant(), await api.a_product())).json
    return placed


async def _pay(api: Api, order: dict[str, Any]) -> OrderCreated:
    stored = await api.services.orders.get(order["tenantId"], order["id"])
    payment = a_payment(stored)
    details = PaymentDetails(payment_id=payment.id, payfast_id=payment.payfast_id, paid_at=PAID_AT)
    paid = stored.model_copy(update={"status": "PAID", "payment_details": details})
    event = order_created(paid, payment)
    await api.services.orders.record_payment(event)
    return event


async def test_printed_order_comes_in_the_wanted_form(api: Api) -> None:
    """A browser sees HTML, a program that asks for PDF gets PDF, and a link can say which."""
    order = await _order(api)
    here = f"{order['_links']['self']['href']}/documents/order"
    html = await api.get(here, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (html.status, html.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "sandbox" in html.headers["Content-Security-Policy"]
    assert order["id"] in html.body.decode()
    pdf = await api.get(here, headers={"Accept": "text/html;q=0.5, application/pdf"})
    assert (pdf.headers["Content-Type"], pdf.body[:5]) == ("application/pdf", b"%PDF-")
    assert pdf.headers["Content-Disposition"] == f'inline; filename="order-{order["id"]}.pdf"'
    assert (await api.get(f"{here}?format=html", headers={"Accept": "application/pdf"})).body == html.body


async def test_forms_that_do_not_exist_are_refused(api: Api) -> None:
    """406 and 400 say what is to be had."""
    here = (await _order(api))["_links"]["self"]["href"]
    for accept in ("application/json", "text/html;q=0, application/pdf;q=0", "image/*"):
        refused = await api.get(f"{here}/documents/order", headers={"Accept": accept})
        assert (accept, refused.status) == (accept, 406)
        assert "text/html" in refused.json["detail"]
    assert (await api.get(f"{here}/documents/invoice", headers={"Accept": "text/html"})).status == 406
    assert (await api.get(f"{here}/documents/invoice?format=html")).status == 400
    assert (await api.get(f"{here}/documents/order?format=docx")).status == 400
    assert (await api.get(f"{here}/documents/contract")).status == 404


async def test_unpaid_order_has_neither_receipt_nor_invoice(api: Api) -> None:
    """A receipt before the payment would be a forged one."""
    here = (await _order(api))["_links"]["self"]["href"]
    for path in ("documents/receipt", "documents/invoice", "invoice"):
        assert (await api.get(f"{here}/{path}")).status == 404


async def test_paid_order_leads_to_its_invoice(api: Api) -> None:
    """The link appears once the invoice is issued, changes the ETag, and leads to the PDF itself."""
    order = await _order(api)
    here = order["_links"]["self"]["href"]
    event = await _pay(api, order)
    paid = await api.get(here)
    assert (paid.json["status"], paid.json["checkout"]) == ("PAID", None)
    assert {"invoice", "checkout"}.isdisjoint(paid.json["_links"])
    await api.services.invoices.issue(event)
    invoiced = await api.get(here, headers={"If-None-Match": paid.headers["ETag"]})
    assert invoiced.status == 200
    invoice = await api.get(invoiced.json["_links"]["invoice"]["href"])
    assert (invoice.json["number"], invoice.json["totalCents"]) == ("INV-000001", 249_00)
    assert {"documentKey", "internalDocumentKey", "templateVersions"}.isdisjoint(invoice.json)
    pdf = await api.get(f"{here}/documents/invoice")
    assert pdf.body[:5] == b"%PDF-"
    async with api.client.session.get(invoice.json["_links"]["pdf"]["href"]) as presigned:
        assert await presigned.read() == pdf.body
    assert (await api.get(f"{here}/documents/receipt")).status == 200
    payments = (await api.get(f"{here}/payments")).json["items"]
    assert [(payment["amountCents"], payment["status"]) for payment in payments] == [(249_00, "COMPLETED")]
