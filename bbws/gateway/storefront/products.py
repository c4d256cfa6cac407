"""The catalogue."""

from aiohttp import web

from bbws.gateway.keys import SETTINGS, services
from bbws.gateway.route import Route
from bbws.gateway.storefront.pages import page
from bbws.shared.contracts.pages import PageRequest

PRODUCTS_PER_PAGE = 24


async def show_catalogue(request: web.Request) -> web.Response:
    asked = PageRequest(PRODUCTS_PER_PAGE, request.query.get("cursor") or None)
    found = await services(request).products.list_active(asked)
    context = {
        "products": found.items,
        "next_cursor": found.next_cursor,
        "first_page": asked.cursor is None,
        "vat_included": request.app[SETTINGS].seller_vat_number is not None,
    }
    return await page(request, "catalogue.html", context)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/",
        operation_id="storefront-catalogue",
        handler=show_catalogue,
        summary="What is on sale",
        tag="pages",
        access="public",
        cacheable=True,
        page=True,
    ),
)
