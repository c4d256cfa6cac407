"""Who may use the pages and the controls of our stand-ins: this machine's own browser tabs and scripts."""

from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from bbws.gateway.hosts import is_own_host

_OWN_PAGES = ("", "same-origin", "none")


def own_hosts_only(own_names: Collection[str]) -> Middleware:
    """421 for a request under a name that is not ours: a foreign one that was pointed at this machine."""

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not is_own_host(request.headers.get("Host", ""), own_names):
            raise web.HTTPMisdirectedRequest(text="This name is not one of ours; use the address, or localhost.")
        return await handler(request)

    return check


def refuse_foreign_pages(request: web.Request) -> None:
    """Raises HTTPForbidden for what a page of another origin makes a browser send; scripts send neither header."""
    origin = request.headers.get("Origin")
    is_foreign = origin is not None and urlsplit(origin).netloc != request.host
    if is_foreign or request.headers.get("Sec-Fetch-Site", "") not in _OWN_PAGES:
        raise web.HTTPForbidden(text="Pages of other sites have no access.")
