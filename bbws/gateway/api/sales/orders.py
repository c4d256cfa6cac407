"""Orders: placed, read, listed, with their payments."""

from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.links import link, link_to, routes_of
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, page, path_id, resource_id
from bbws.gateway.responses import collection, embedded, etag_of, resource
from bbws.gateway.route import EVENT_STREAM, Answer, Route
from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.sales.invoices import Invoice
from bbws.shared.contracts.sales.orders import Order, OrderDraft
from bbws.shared.contracts.sales.payments import Payment
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


def _links(routes: Mapping[str, Route], order: Order) -> dict[str, dict[str, Any]]:
    ids = _ids(order)
    return {
        "self": {"href": routes["order-get"].address(**ids)},
        "tenant": {"href": routes["tenant-get"].address(tenantId=order.tenant_id)},
        "payments": {"href": routes["order-payment-list"].address(**ids)},
        "events": {"href": routes["order-event-stream"].address(**ids), "type": EVENT_STREAM},
        "documents": {"href": routes["order-document-get"].address(**ids), "templated": True},
    }


def _ids(order: Order) -> dict[str, str]:
    return {"tenantId": order.tenant_id, "orderId": order.id}


def _checkout(request: web.Request, order: Order) -> dict[str, Any] | None:
    """A `CheckoutForm`, as JSON at once."""
    if order.status != "PENDING_PAYMENT":
        return None
    checkout = services(request).orders.checkout(order)
    fields = [{"name": name, "value": value} for name, value in checkout.fields]
    return {"url": checkout.url, "method": "POST", "fields": fields}


def _answer(
    request: web.Request, order: Order, invoice: Invoice | None = None, *, created: bool = False
) -> web.Response:
    links, checkout = _links(routes_of(request), order), _checkout(request, order)
    if checkout:
        links["checkout"] = link(checkout["url"], title="post the fields of `checkout` here")
    if invoice:
        links["invoice"] = link_to(request, "order-invoice-get", **_ids(order))
    return resource(
        request,
        order,
        links,
        # The link to the invoice comes without a new version of the order, but it is another answer.
        etag=etag_of(order.version, *([invoice.number] if invoice else [])),
        status=201 if created else 200,
        location=links["self"]["href"] if created else None,
        extra={"checkout": checkout},
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
    routes = routes_of(request)
    return collection(request, asked, found, [embedded(order, _links(routes, order)) for order in found.items])


async def list_payments(request: web.Request) -> web.Response:
    asked, tenant_id, order_id = page(request), path_id(request, "tenantId"), path_id(request, "orderId")
    found = await services(request).payments.list_of_order(tenant_id, order_id, asked)
    links = {"order": link_to(request, "order-get", tenantId=tenant_id, orderId=order_id)}
    return collection(request, asked, found, [embedded(payment, links) for payment in found.items])


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1.0/tenants/{tenantId}/orders",
        operation_id="order-create",
        handler=create_order,
        summary="Place an order",
        tag="orders",
        access=Right.ORDERS_CREATE,
        scope="tenant",
        description="All amounts are fixed now. Post the fields of `checkout` to its `url`, in their order, to pay.",
        request=OrderDraft,
        answers={201: Answer("Placed", OrderAnswer, "resource", etag=True, location=True)},
        idempotency="required",
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders",
        operation_id="order-list",
        handler=list_orders,
        summary="List a tenant's orders",
        tag="orders",
        access=Right.ORDERS_READ,
        scope="tenant",
        answers={200: Answer("One page of orders", Order, "collection")},
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}",
        operation_id="order-get",
        handler=get_order,
        summary="Read an order",
        tag="orders",
        access=Right.ORDERS_READ,
        scope="tenant",
        description="`_links.invoice` is there once the invoice is issued.",
        answers={200: Answer("The order", OrderAnswer, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}/payments",
        operation_id="order-payment-list",
        handler=list_payments,
        summary="List an order's payments",
        tag="orders",
        access=Right.ORDERS_READ,
        scope="tenant",
        answers={200: Answer("One page of payments", Payment, "collection")},
        paged=True,
    ),
)
