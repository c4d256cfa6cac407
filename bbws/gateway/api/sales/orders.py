"""Orders: placed, read, listed, with their payments."""

from typing import Any, Literal

from aiohttp import web

from bbws.gateway.api.tenancy.tenants import tenant_path
from bbws.gateway.keys import services
from bbws.gateway.requests import actor, body, page, path_id, resource_id
from bbws.gateway.responses import collection, embedded, etag_of, link, resource
from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.sales.invoices import Invoice
from bbws.shared.contracts.sales.orders import Order, OrderDraft
from bbws.shared.errors import NotFound


class FormField(Contract):
    name: str
    value: str


class CheckoutForm(Contract):
    """The form that takes the customer to PayFast: all fields in this order, as the signature covers it."""

    url: str
    method: Literal["POST"] = "POST"
    fields: tuple[FormField, ...]


class OrderAnswer(Order):
    """An order with its `checkout`, which is null once there is nothing to pay."""

    checkout: CheckoutForm | None


def order_path(tenant_id: str, order_id: str) -> str:
    return f"{tenant_path(tenant_id)}/orders/{order_id}"


def _links(order: Order) -> dict[str, dict[str, Any]]:
    here = order_path(order.tenant_id, order.id)
    return {
        "self": link(here),
        "tenant": link(tenant_path(order.tenant_id)),
        "payments": link(f"{here}/payments"),
        "events": link(f"{here}/events", type="text/event-stream"),
        "documents": link(f"{here}/documents/{{kind}}", templated=True),
    }


def _checkout(request: web.Request, order: Order) -> CheckoutForm | None:
    if order.status != "PENDING_PAYMENT":
        return None
    checkout = services(request).orders.checkout(order)
    return CheckoutForm(url=checkout.url, fields=tuple(FormField(name=n, value=v) for n, v in checkout.fields))


def _answer(
    request: web.Request, order: Order, invoice: Invoice | None = None, *, created: bool = False
) -> web.Response:
    links, checkout = _links(order), _checkout(request, order)
    if checkout:
        links["checkout"] = link(checkout.url, title="post the fields of `checkout` here")
    if invoice:
        links["invoice"] = link(f"{order_path(order.tenant_id, order.id)}/invoice")
    return resource(
        request,
        order,
        links,
        # The link to the invoice comes without a new version of the order, but it is another answer.
        etag=etag_of(order.version, *([invoice.number] if invoice else [])),
        status=201 if created else 200,
        location=order_path(order.tenant_id, order.id) if created else None,
        extra={"checkout": checkout and checkout.model_dump(mode="json")},
    )


async def create_order(request: web.Request) -> web.Response:
    tenant_id, draft = path_id(request, "tenantId"), body(request, OrderDraft)
    orders = services(request).orders
    order = await orders.place(tenant_id, draft, actor=actor(request), order_id=resource_id(request))
    return _answer(request, order, created=True)


async def get_order(request: web.Request) -> web.Response:
    order = await services(request).orders.get(path_id(request, "tenantId"), path_id(request, "orderId"))
    return _answer(request, order, await _issued_invoice(request, order))


async def _issued_invoice(request: web.Request, order: Order) -> Invoice | None:
    if order.payment_details is None:
        return None
    try:
        return await services(request).invoices.get(order.tenant_id, order.id)
    except NotFound:
        return None


async def list_orders(request: web.Request) -> web.Response:
    asked = page(request)
    found = await services(request).orders.list(path_id(request, "tenantId"), asked)
    return collection(request, asked, found, [embedded(order, _links(order)) for order in found.items])


async def list_payments(request: web.Request) -> web.Response:
    asked, tenant_id, order_id = page(request), path_id(request, "tenantId"), path_id(request, "orderId")
    found = await services(request).orders.payments(tenant_id, order_id, asked)
    links = {"order": link(order_path(tenant_id, order_id))}
    return collection(request, asked, found, [embedded(payment, links) for payment in found.items])
