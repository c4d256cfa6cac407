"""The pages of one order, for whoever has its key: the way to PayFast, what happens next, the documents."""

from typing import get_args

from aiohttp import web

from bbws.gateway.api.sales import documents, order_events
from bbws.gateway.keys import SETTINGS, services
from bbws.gateway.requests import path_id
from bbws.gateway.route import EVENT_STREAM, Answer, Route
from bbws.gateway.storefront.countries import NAMES
from bbws.gateway.storefront.order_progress import progress
from bbws.gateway.storefront.pages import page
from bbws.shared.addresses import ORDER_PAGE
from bbws.shared.contracts.sales.orders import Order, TimelineKind
from bbws.shared.sales.order_keys import order_page


async def show_checkout(request: web.Request) -> web.Response:
    """The order and the form that takes its customer to PayFast; the status page once there is nothing to pay."""
    order = await _order(request)
    if order.status != "PENDING_PAYMENT":
        raise web.HTTPSeeOther(path_of(request, order))
    context = {
        "order": order,
        "country": _country(order),
        "checkout": services(request).orders.checkout(order),
        "status_path": path_of(request, order),
    }
    return await page(request, "checkout.html", context)


async def show_status(request: web.Request) -> web.Response:
    order = await _order(request)
    found = services(request)
    entries = await found.orders.timeline(order.tenant_id, order.id)
    context = {
        "order": order,
        "country": _country(order),
        "progress": progress(order, entries),
        "checkout": found.orders.checkout(order) if order.status == "PENDING_PAYMENT" else None,
        "cancelled": request.query.get("cancelled") == "1",
        "documents": _documents(request, order),
        "events_path": path_of(request, order, "/events"),
        "event_kinds": get_args(TimelineKind),
    }
    return await page(request, "status.html", context)


async def _order(request: web.Request) -> Order:
    return await services(request).orders.get(path_id(request, "tenantId"), path_id(request, "orderId"))


def _country(order: Order) -> str:
    code = order.billing_address.country
    return NAMES.get(code, code)


def _documents(request: web.Request, order: Order) -> dict[str, str]:
    shown = {"invoice": "pdf", "receipt": "html", "order": "html"}
    return {kind: path_of(request, order, f"/documents/{kind}", format=form) for kind, form in shown.items()}


def path_of(request: web.Request, order: Order, part: str = "", **query: str) -> str:
    """Of the order's page, or of `part` of it, with the key that opens it."""
    return order_page(request.app[SETTINGS], order.tenant_id, order.id, part, **query)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=ORDER_PAGE,
        operation_id="storefront-order-status",
        handler=show_status,
        summary="What happens to an order",
        tag="pages",
        access="order-key",
        page=True,
    ),
    Route(
        method="GET",
        path=f"{ORDER_PAGE}/checkout",
        operation_id="storefront-checkout",
        handler=show_checkout,
        summary="The order and the way to PayFast",
        tag="pages",
        access="order-key",
        page=True,
    ),
    Route(
        method="GET",
        path=f"{ORDER_PAGE}/events",
        operation_id="storefront-order-events",
        handler=order_events.stream_events,
        summary="What happens to an order, as it happens",
        tag="pages",
        access="order-key",
        answers={200: Answer("The stream", media=(EVENT_STREAM,))},
        page=True,
    ),
    Route(
        method="GET",
        path=f"{ORDER_PAGE}/documents/{{kind}}",
        operation_id="storefront-order-document",
        handler=documents.get_document,
        summary="An order, its receipt or its invoice, to print",
        tag="pages",
        access="order-key",
        page=True,
    ),
)
