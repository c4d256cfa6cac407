"""The tax invoice of an order, once it is issued."""

from datetime import date
from typing import Any

from aiohttp import web

from bbws.gateway.api.sales.orders import order_path
from bbws.gateway.keys import services
from bbws.gateway.requests import path_id
from bbws.gateway.responses import link, resource
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


async def _links(request: web.Request, invoice: Invoice) -> dict[str, dict[str, Any]]:
    order = order_path(invoice.tenant_id, invoice.order_id)
    presigned = await services(request).invoices.link(invoice)
    return {
        "self": link(f"{order}/invoice"),
        "order": link(order),
        "pdf": link(presigned, type="application/pdf"),
    }
