"""How every page of the storefront is made: one layout, headers that allow just what it needs, errors as pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from bbws.gateway.keys import PROBLEM_PAGE, SETTINGS
from bbws.gateway.problems import Problem
from bbws.gateway.storefront.assets import ASSETS, addresses, load_assets
from bbws.shared.settings import Settings
from bbws.shared.templating import PackagedTemplates, Templates

TEMPLATES: web.AppKey[Templates] = web.AppKey("storefront_templates", Templates)

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self' {payfast}"
)
_PAYFAST_DOMAIN = ".payfast.co.za"
# Chromium holds form-action against redirects too, and PayFast leads the buyer on to hosts of these domains.
_PAYFAST_ONWARD = "https://*.payfast.co.za https://*.payfast.io"


@dataclass(frozen=True, slots=True)
class _Said:
    heading: str
    sentence: str


_SAID = {
    400: _Said("That did not work", "Your browser sent something that we could not read."),
    403: _Said("That was not sent from our page", "To protect you, nothing was ordered."),
    404: _Said(
        "We could not find this page", "The address may be incomplete, or what it showed is no longer available."
    ),
    405: _Said("That did not work", "This page cannot be used in that way."),
    503: _Said(
        "We will be right back",
        "A part of our shop is out of reach at the moment. Nothing is lost: please try again in a few seconds.",
    ),
}


def add_pages(app: web.Application) -> None:
    """The gateway answers people too: what its pages need is there, and problems on them are pages."""
    app[ASSETS] = load_assets()
    app[TEMPLATES] = Templates(PackagedTemplates())
    app[PROBLEM_PAGE] = problem_page


async def page(
    request: web.Request,
    name: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The template `storefront/{name}` as a page of the shop."""
    settings = request.app[SETTINGS]
    shared = {"seller": _seller(settings), "assets": addresses(request.app[ASSETS]), "path": request.path}
    html = await request.app[TEMPLATES].render(f"storefront/{name}", {**shared, **context})
    return web.Response(
        text=html, status=status, content_type="text/html", headers={**_protection(settings), **(headers or {})}
    )


async def problem_page(request: web.Request, problem: Problem) -> web.StreamResponse:
    """A problem as a person sees it; what the API would say in `detail` is shown where we have no better words."""
    said = _SAID.get(problem.status, _Said(problem.title, problem.detail))
    context = {"heading": said.heading, "sentence": said.sentence, "problem": problem}
    return await page(request, "problem.html", context, status=problem.status)


def _seller(settings: Settings) -> dict[str, Any]:
    return {
        "name": settings.seller_name,
        "address": settings.seller_address,
        "vat_number": settings.seller_vat_number,
        "email": settings.seller_email,
    }


def _protection(settings: Settings) -> dict[str, str]:
    return {
        "Content-Security-Policy": _POLICY.format(payfast=_payfast_sources(settings.payfast_url)),
        # With `no-referrer` a browser would send `Origin: null` along with our own forms.
        "Referrer-Policy": "same-origin",
    }


def _payfast_sources(payfast_url: str) -> str:
    parts = urlsplit(payfast_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return f"{origin} {_PAYFAST_ONWARD}" if (parts.hostname or "").endswith(_PAYFAST_DOMAIN) else origin
