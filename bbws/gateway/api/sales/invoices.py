"""The tax invoice of an order, once it is issued."""

from datetime import date

from aiohttp import web

from bbws.gateway.api.sales.documents import PDF
from bbws.gateway.keys import services
from bbws.gateway.links import Links, link, link_to
from bbws.gateway.permissions import Right
from bbws.gateway.requests import path_id
from bbws.gateway.responses import resource
from bbws.gateway.route import Answer, Route
from bbws.shared.contracts.base import Cents, Contract, Timestamp, Uuid
from bbws.shared.contracts.sales.invoices import Invoice, InvoiceNumber, Seller


class InvoiceAnswer(Contract):
    """What a customer sees of an invoice; the PDF is behind `_links.pdf`."""

    number: InvoiceNumber
    issue_date: date
    tenant_id: Uuid
    order_id: Uuid
    total_cents: Cents
    seller: Seller
    date_created: Timestamp


async def get_invoice(request: web.Request) -> web.Response:
    tenant_id, order_id = path_id(request, "tenantId"), path_id(request, "orderId")
    invoice = await services(request).invoices.get(tenant_id, order_id)
    shown = InvoiceAnswer(**{name: getattr(invoice, name) for name in InvoiceAnswer.model_fields})
    # No ETag: the answer holds a link that expires, so an old one is of no use.
    return resource(request, shown, await _links(request, invoice))


async def _links(request: web.Request, invoice: Invoice) -> Links:
    ids = {"tenantId": invoice.tenant_id, "orderId": invoice.order_id}
    return {
        "self": link_to(request, "order-invoice-get", **ids),
        "order": link_to(request, "order-get", **ids),
        "pdf": link(await services(request).invoices.link(invoice), type=PDF),
    }


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}/invoice",
        operation_id="order-invoice-get",
        handler=get_invoice,
        summary="Read an order's invoice",
        tag="orders",
        access=Right.ORDERS_READ,
        scope="tenant",
        description="404 until it is issued. `_links.pdf` works for some minutes; read again for a new one.",
        answers={200: Answer("The invoice", InvoiceAnswer, "resource", etag=True)},
    ),
)
