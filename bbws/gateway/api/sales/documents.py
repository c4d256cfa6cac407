"""An order's documents for people: the printable order and receipt as HTML or PDF, the invoice as PDF."""

from functools import partial
from typing import Final

from aiohttp import web

from bbws.gateway.keys import RENDERINGS, services
from bbws.gateway.permissions import Right
from bbws.gateway.requests import path_id, wanted_media
from bbws.gateway.route import Answer, Route, query_parameter
from bbws.shared.errors import BadRequest, NotFound
from bbws.shared.sales.services.documents import Format, Kind

HTML: Final = "text/html"
PDF: Final = "application/pdf"
# Waiting ones included. A page takes some 200 ms of CPU, and a client that leaves does not stop it.
MAX_RENDERINGS = 8
TOO_MANY_RENDERINGS = "This process draws as many PDFs as it can; come again, or ask for HTML."
_MEDIA = {"html": HTML, "pdf": PDF}

# A document brings its styles along and needs nothing else; `sandbox` keeps it from acting in this origin's name.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'none'; sandbox"
)


async def get_document(request: web.Request) -> web.Response:
    tenant_id, order_id = path_id(request, "tenantId"), path_id(request, "orderId")
    match request.match_info["kind"]:
        case "invoice":
            _wanted(request, [PDF])
            return _answer(await services(request).invoices.pdf(tenant_id, order_id), PDF, f"invoice-{order_id}.pdf")
        case "order" | "receipt" as kind:
            media = _wanted(request, [HTML, PDF])
            form: Format = "html" if media == HTML else "pdf"
            content = await _rendered(request, tenant_id, order_id, kind, form)
            return _answer(content, media, f"{kind}-{order_id}.{form}")
        case _:
            raise NotFound("An order has the documents order, receipt and invoice.")


async def _rendered(request: web.Request, tenant_id: str, order_id: str, kind: Kind, form: Format) -> bytes:
    render = partial(services(request).documents.render, tenant_id, order_id, kind, form)
    return await (render() if form == "html" else request.app[RENDERINGS].do((tenant_id, order_id, kind), render))


def _wanted(request: web.Request, offered: list[str]) -> str:
    """`?format=` wins over Accept, because a link on a page can say no more than an address."""
    form = request.query.get("format")
    if form is None:
        return wanted_media(request, offered)
    if _MEDIA.get(form) not in offered:
        known = " or ".join(name for name, media in _MEDIA.items() if media in offered)
        raise BadRequest(f"format is {known} for this document.")
    return _MEDIA[form]


def _answer(content: bytes, media: str, name: str) -> web.Response:
    headers = {"Content-Disposition": f'inline; filename="{name}"', "Vary": "Accept"}
    if media == HTML:
        headers["Content-Security-Policy"] = _POLICY
        return web.Response(body=content, content_type=media, charset="utf-8", headers=headers)
    return web.Response(body=content, content_type=media, headers=headers)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}/documents/{kind}",
        operation_id="order-document-get",
        handler=get_document,
        summary="Print an order, its receipt or its invoice",
        tag="orders",
        access=Right.ORDERS_READ,
        scope="tenant",
        description="`kind` is order, receipt or invoice; the invoice is PDF only.",
        answers={200: Answer("The document", media=(HTML, PDF))},
        errors=(400, 406),
        parameters=(query_parameter("format", "Wins over Accept.", "html", "pdf"),),
    ),
)
