"""Links of answers, made from the routes: where a thing is, and what this caller may do with it."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from bbws.gateway.keys import CALLER, ROUTES_BY_ID
from bbws.gateway.permissions import Access, Right
from bbws.gateway.route import Route

Links = Mapping[str, Mapping[str, Any]]


def link(href: str, **more: Any) -> dict[str, Any]:
    return {"href": href, **more}


def address(request: web.Request, operation_id: str, **ids: str) -> str:
    """The path of the operation, with `ids` in it."""
    return _route(request, operation_id).address(**ids)


def routes_of(request: web.Request) -> Mapping[str, Route]:
    """Every route by its operation id, for those who make many links."""
    return request.app[ROUTES_BY_ID]


def link_to(request: web.Request, operation_id: str, **ids: str) -> dict[str, Any]:
    """A link that is there whoever asks; without `method`, so for what is read."""
    return link(address(request, operation_id, **ids))


def offered(request: web.Request, operations: Mapping[str, str], **ids: str) -> dict[str, dict[str, Any]]:
    """Of `operations`, named as their links shall be, those that this caller may use; `method` where it is not GET."""
    routes = {name: _route(request, operation_id) for name, operation_id in operations.items()}
    return {name: _step(route, ids) for name, route in routes.items() if _may(request, route.access)}


def _route(request: web.Request, operation_id: str) -> Route:
    return request.app[ROUTES_BY_ID][operation_id]


def _step(route: Route, ids: Mapping[str, str]) -> dict[str, Any]:
    here = route.address(**ids)
    return link(here) if route.method == "GET" else link(here, method=route.method)


def _may(request: web.Request, access: Access) -> bool:
    if isinstance(access, Right):
        return CALLER in request and request[CALLER].may(access)
    return access == "public"
