"""Ordering: the form, and the order that it makes."""

from typing import Any

from aiohttp import web

from bbws.gateway.keys import SETTINGS, services
from bbws.gateway.requests import raw_body
from bbws.gateway.route import FORM, Route
from bbws.gateway.storefront import form_tokens, order_form
from bbws.gateway.storefront.countries import NEIGHBOURS, OTHERS
from bbws.gateway.storefront.order_pages import path_of
from bbws.gateway.storefront.pages import page
from bbws.shared.clock import business_date
from bbws.shared.contracts.sales.campaigns import Campaign
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.products import Product
from bbws.shared.errors import Conflict, FieldError, Invalid, NotFound

ACTOR = "customer"
FORM_PATH = "/order"

_TOO_OLD = (
    "This form was open for too long or your browser keeps no cookies. Nothing is ordered yet: please send it again."
)
# A page that the browser may show again on "back": it holds the token that keeps the order from happening twice.
_KEPT = {"Cache-Control": "private, no-cache"}


async def show_form(request: web.Request) -> web.Response:
    """The form for `?product=`, with the discount of `?campaign=` where it applies; the catalogue without a product."""
    if "product" not in request.query:
        raise web.HTTPSeeOther("/")
    product = await _on_sale(request, request.query["product"])
    values = order_form.values_of({"campaign": request.query.get("campaign", "")})
    return await _form(request, product, values)


async def place_order(request: web.Request) -> web.Response:
    """The customer's order is placed, once for each form and content; then the browser is led to the checkout."""
    form_tokens.refuse_other_sites(request)
    posted = order_form.parse(await raw_body(request))
    product = await _on_sale(request, posted.get("product", ""))
    values, token = order_form.values_of(posted), posted.get(form_tokens.FORM_FIELD, "")
    form_id = form_tokens.form_id_of(token, form_tokens.browser_secret(request), request.app[SETTINGS])
    if form_id is None:
        return await _form(request, product, values, errors={order_form.WHOLE_FORM: _TOO_OLD}, status=403)
    try:
        order = await _placed(request, product, values, form_id)
    except (Invalid, Conflict) as refused:
        return await _form(request, product, values, errors=order_form.sentences(refused), token=token, status=422)
    raise web.HTTPSeeOther(path_of(request, order, "/checkout"))


async def _placed(request: web.Request, product: Product, values: dict[str, str], form_id: str) -> Order:
    # Before anything is registered: a customer who mends the code may mend the e-mail address as well.
    wanted = order_form.read(values, product.id, await _campaign_errors(request, product, values["campaign"]))
    tenant = await services(request).registrations.for_customer(wanted.registration)
    if tenant.deleted:
        raise Conflict("We cannot take orders for this e-mail address. Please write to us")
    order_id = form_tokens.order_id(form_id, tenant.id, wanted.draft.model_dump_json())
    return await services(request).orders.place(tenant.id, wanted.draft, actor=ACTOR, order_id=order_id)


async def _campaign_errors(request: web.Request, product: Product, code: str) -> list[FieldError]:
    if not code.strip() or await _campaign(request, product, code):
        return []
    return [FieldError("#/campaignCode", "is not valid for this product today")]


async def _on_sale(request: web.Request, product_id: str) -> Product:
    product = await services(request).products.get(product_id[:100])
    if not product.active:
        raise NotFound("This product is no longer on sale.")
    return product


async def _campaign(request: web.Request, product: Product, code: str) -> Campaign | None:
    """The campaign that `code` names, when it gives a discount on this product today."""
    found = services(request)
    try:
        campaign = await found.campaigns.get(code.strip()[:40])
    except NotFound:
        return None
    today = business_date(found.clock())
    return campaign if campaign.product_id == product.id and campaign.applies_on(today) else None


async def _form(
    request: web.Request,
    product: Product,
    values: dict[str, str],
    *,
    errors: dict[str, str] | None = None,
    token: str | None = None,
    status: int = 200,
) -> web.Response:
    settings = request.app[SETTINGS]
    secret = form_tokens.browser_secret(request) or form_tokens.new_browser_secret()
    code = values["campaign"]
    context: dict[str, Any] = {
        "product": product,
        "values": values,
        "errors": errors or {},
        "token": token or form_tokens.new_token(secret, settings),
        "campaign": await _campaign(request, product, code) if code.strip() else None,
        "neighbours": NEIGHBOURS,
        "others": OTHERS,
        "vat_included": settings.seller_vat_number is not None,
    }
    response = await page(request, "order.html", context, status=status, headers=_KEPT)
    form_tokens.remember_browser(response, secret, settings, FORM_PATH)
    return response


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=FORM_PATH,
        operation_id="storefront-order-form",
        handler=show_form,
        summary="The order form of one product",
        tag="pages",
        access="public",
        page=True,
    ),
    Route(
        method="POST",
        path=FORM_PATH,
        operation_id="storefront-order",
        handler=place_order,
        summary="Place the order of a form",
        tag="pages",
        access="public",
        request_media=FORM,
        max_body_bytes=order_form.MAX_FORM_BYTES,
        page=True,
    ),
)
