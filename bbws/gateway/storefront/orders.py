"""Ordering: the form, the order it makes, the way to PayFast, and the page that shows what happens next."""

from typing import Any, get_args

from aiohttp import web

from bbws.gateway.keys import SETTINGS, services
from bbws.gateway.requests import path_id, raw_body
from bbws.gateway.storefront import form_tokens, order_form
from bbws.gateway.storefront.countries import NAMES, NEIGHBOURS, OTHERS
from bbws.gateway.storefront.order_progress import progress
from bbws.gateway.storefront.pages import page
from bbws.shared.clock import business_date
from bbws.shared.contracts.sales.campaigns import Campaign
from bbws.shared.contracts.sales.orders import Order, TimelineKind
from bbws.shared.contracts.sales.products import Product
from bbws.shared.errors import Conflict, FieldError, Invalid, NotFound
from bbws.shared.sales.order_keys import order_page

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
    raise web.HTTPSeeOther(_page(request, order, "/checkout"))


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


async def show_checkout(request: web.Request) -> web.Response:
    """The order and the form that takes its customer to PayFast; the status page once there is nothing to pay."""
    order = await _order(request)
    if order.status != "PENDING_PAYMENT":
        raise web.HTTPSeeOther(_page(request, order))
    context = {
        "order": order,
        "country": _country(order),
        "checkout": services(request).orders.checkout(order),
        "status_path": _page(request, order),
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
        "events_path": _page(request, order, "/events"),
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
    return {kind: _page(request, order, f"/documents/{kind}", format=form) for kind, form in shown.items()}


def _page(request: web.Request, order: Order, part: str = "", **query: str) -> str:
    return order_page(request.app[SETTINGS], order.tenant_id, order.id, part, **query)
