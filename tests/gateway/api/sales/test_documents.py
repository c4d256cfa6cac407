"""Documents and invoice of an order, before and after it is paid."""

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from bbws.gateway.api.sales.documents import MAX_RENDERINGS
from bbws.shared.contracts.sales.order_events import OrderCreated
from bbws.shared.contracts.sales.orders import PaymentDetails
from bbws.shared.errors import NotFound
from bbws.shared.ids import new_id
from tests.gateway.support import Api, as_operator
from tests.support.builders import PAID_AT, a_payment, order_created
from tests.support.identity import Identity
from tests.support.waiting import eventually


async def _order(api: Api) -> dict[str, Any]:
    placed: dict[str, Any] = (await api.place(await api.a_tenant(), await api.a_product())).json
    return placed


async def _pay(api: Api, order: dict[str, Any]) -> OrderCreated:
    stored = await api.services.orders.get(order["tenantId"], order["id"])
    payment = a_payment(stored)
    details = PaymentDetails(payment_id=payment.id, payfast_id=payment.payfast_id, paid_at=PAID_AT)
    paid = stored.model_copy(update={"status": "PAID", "payment_details": details})
    event = order_created(paid, payment)
    await api.services.payments.record(event)
    return event


async def test_printed_order_comes_in_the_wanted_form(api: Api) -> None:
    """A browser sees HTML, a program that asks for PDF gets PDF, and a link can say which."""
    order = await _order(api)
    here = f"{order['_links']['self']['href']}/documents/order"
    html = await api.get(here, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (html.status, html.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "sandbox" in html.headers["Content-Security-Policy"]
    assert html.headers["Vary"] == "Accept", "the same address has two answers"
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


@pytest.mark.own_account
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


class _Press:
    """A document service that draws as long as the test says, and counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def render(self, tenant_id: str, order_id: str, kind: str, form: str) -> bytes:
        self.asked[order_id] += 1
        if form == "pdf":
            await self.may_end.wait()
        if self.error:
            raise self.error
        return f"{form} of {order_id}".encode()


def _printing(
    press: _Press, identity: Identity
) -> AbstractAsyncContextManager[TestClient[web.Request, web.Application]]:
    services = SimpleNamespace(pings={}, orders=SimpleNamespace(timeline=None), documents=press)
    return as_operator(identity, services)


def _pdf_path(order_id: str) -> str:
    return f"/v1.0/tenants/{new_id()}/orders/{order_id}/documents/order?format=pdf"


async def test_abandoned_pdfs_count_until_they_are_drawn(shared_identity: Identity) -> None:
    """Whoever asks and leaves, again and again, must not fill the process with work that nobody waits for."""
    press = _Press()
    async with _printing(press, shared_identity) as client:
        for number in range(MAX_RENDERINGS):
            asking = asyncio.create_task(client.get(_pdf_path(new_id())))
            await eventually(lambda n=number: press.asked.total() == n + 1, what="it is drawn")  # type: ignore[misc]
            asking.cancel()
        async with client.get(_pdf_path(new_id())) as refused:
            problem = await refused.json(content_type="application/problem+json")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert "PDFs" in problem["detail"]
        assert (await client.get(_pdf_path(new_id()).replace("pdf", "html"))).status == 200
        press.may_end.set()

        async def drawn_again() -> bool:
            return (await client.get(_pdf_path(new_id()))).status == 200

        await eventually(drawn_again, what="there is room again")


@pytest.mark.parametrize(("error", "status"), [(None, 200), (NotFound("there is no such order"), 404)])
async def test_those_who_want_the_same_pdf_share_it(
    error: Exception | None, status: int, shared_identity: Identity
) -> None:
    """A link that many press at once costs one drawing; what fails, fails for all, and is tried anew afterwards."""
    press, path, asked = _Press(), _pdf_path(order_id := new_id()), MAX_RENDERINGS + 2
    press.error = error
    async with _printing(press, shared_identity) as client:
        asking = [asyncio.create_task(client.get(path)) for _ in range(asked)]

        async def all_wait() -> bool:
            in_flight = f"bbws_gateway_requests_in_flight {asked + 1}.0"
            return in_flight in await (await client.get("/metrics")).text()

        await eventually(all_wait, what="all have asked")
        press.may_end.set()
        answers = await asyncio.gather(*asking)
        assert [answer.status for answer in answers] == [status] * asked
        assert press.asked[order_id] == 1
        assert len({await answer.read() for answer in answers if status == 200}) == (status == 200)
        assert (await client.get(path)).status == status
        assert press.asked[order_id] == 2
