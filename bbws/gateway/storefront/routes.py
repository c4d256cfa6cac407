"""Every page of the storefront, and the one call that puts them into the gateway."""

from aiohttp import web

from bbws.gateway.api.sales import documents, order_events
from bbws.gateway.keys import ENDPOINTS, PROBLEM_PAGE
from bbws.gateway.middlewares import endpoint
from bbws.gateway.operations import EVENT_STREAM, FORM, Answer, Route
from bbws.gateway.storefront import orders, products, registration
from bbws.gateway.storefront.assets import ASSETS, get_asset, load_assets
from bbws.gateway.storefront.pages import TEMPLATES, problem_page
from bbws.shared.templating import PackagedTemplates, Templates

MAX_FORM_BYTES = 16 * 1024

_ORDER = "/orders/{tenantId}/{orderId}"

STOREFRONT: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/",
        operation_id="storefront-catalogue",
        handler=products.show_catalogue,
        summary="What is on sale",
        tag="pages",
        access="public",
        cacheable=True,
        page=True,
    ),
    Route(
        method="GET",
        path="/order",
        operation_id="storefront-order-form",
        handler=orders.show_form,
        summary="The order form of one product",
        tag="pages",
        access="public",
        page=True,
    ),
    Route(
        method="POST",
        path="/order",
        operation_id="storefront-order",
        handler=orders.place_order,
        summary="Place the order of a form",
        tag="pages",
        access="public",
        request_media=FORM,
        max_body_bytes=MAX_FORM_BYTES,
        page=True,
    ),
    Route(
        method="GET",
        path=_ORDER,
        operation_id="storefront-order-status",
        handler=orders.show_status,
        summary="What happens to an order",
        tag="pages",
        access="order-key",
        page=True,
    ),
    Route(
        method="GET",
        path=f"{_ORDER}/checkout",
        operation_id="storefront-checkout",
        handler=orders.show_checkout,
        summary="The order and the way to PayFast",
        tag="pages",
        access="order-key",
        page=True,
    ),
    Route(
        method="GET",
        path=f"{_ORDER}/events",
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
        path=f"{_ORDER}/documents/{{kind}}",
        operation_id="storefront-order-document",
        handler=documents.get_document,
        summary="An order, its receipt or its invoice, to print",
        tag="pages",
        access="order-key",
        page=True,
    ),
    Route(
        method="GET",
        path=registration.PATH,
        operation_id="storefront-registration",
        handler=registration.show_registration,
        summary="The page behind a mailed link",
        tag="pages",
        access="public",
        page=True,
    ),
    Route(
        method="POST",
        path=registration.PATH,
        operation_id="storefront-password",
        handler=registration.set_password,
        summary="Set the password with a mailed link",
        tag="pages",
        access="public",
        request_media=FORM,
        max_body_bytes=MAX_FORM_BYTES,
        page=True,
    ),
    Route(
        method="POST",
        path=f"{registration.PATH}/link",
        operation_id="storefront-link",
        handler=registration.request_link,
        summary="Ask for a link by mail",
        tag="pages",
        access="public",
        request_media=FORM,
        max_body_bytes=MAX_FORM_BYTES,
        page=True,
    ),
    Route(
        method="GET",
        path="/assets/{name}",
        operation_id="storefront-asset",
        handler=get_asset,
        summary="Styles and script of the pages",
        tag="pages",
        access="public",
        cacheable=True,
        page=True,
    ),
)


def add_storefront(app: web.Application) -> None:
    """The gateway answers people too: its pages are served, and problems on them are pages."""
    app[ASSETS] = load_assets()
    app[TEMPLATES] = Templates(PackagedTemplates())
    app[PROBLEM_PAGE] = problem_page
    endpoints = {endpoint(route): route for route in STOREFRONT}
    known = app[ENDPOINTS]
    app[ENDPOINTS] = {**known, **endpoints}
    for handler, route in endpoints.items():
        app.router.add_route(route.method, route.path, handler)
        if route.method == "GET" and not route.streamed:
            app.router.add_route("HEAD", route.path, handler)
