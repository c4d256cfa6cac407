"""A small API of a few operations, to try the gateway's framework without AWS."""

import asyncio
from types import SimpleNamespace
from typing import Annotated, Any, cast

from aiohttp import web
from pydantic import Field

from bbws.gateway.health import get_metrics
from bbws.gateway.requests import body
from bbws.gateway.responses import json_answer
from bbws.gateway.route import Answer, Route
from bbws.shared.bootstrap import Services
from bbws.shared.contracts.base import Contract, Line
from bbws.shared.contracts.sales.orders import TimelineEntry
from bbws.shared.contracts.tenancy.tenants import TenantDraft
from bbws.shared.errors import Unavailable
from bbws.shared.integrations.tokens import TokenVerifier
from bbws.shared.logging import bound_values


class Part(Contract):
    quantity: Annotated[int, Field(ge=1)]


class Wish(Contract):
    text: Line
    part_list: tuple[Part, ...] = ()


async def echo(request: web.Request) -> web.Response:
    said = body(request, Wish).model_dump(mode="json")
    seen = {"tenant": request.headers.get("X-Tenant-Id"), "context": dict(bound_values())}
    return json_answer(said | seen)


async def name_tenant(request: web.Request) -> web.Response:
    return json_answer(body(request, TenantDraft).model_dump(mode="json"))


async def fail(request: web.Request) -> web.Response:
    raise RuntimeError("password=hunter2")


async def be_out(request: web.Request) -> web.Response:
    raise Unavailable("dynamodb", "https://10.0.0.7:8000 refused the connection")


async def move(request: web.Request) -> web.Response:
    raise web.HTTPSeeOther("/elsewhere")


async def be_cut_off(request: web.Request) -> web.Response:
    raise asyncio.CancelledError


async def tell_context(request: web.Request) -> web.Response:
    return json_answer(dict(bound_values()))


async def show_page(request: web.Request) -> web.Response:
    return web.Response(text="<p>hello</p>", content_type="text/html")


async def read_timeline(tenant_id: str, order_id: str) -> tuple[TimelineEntry, ...]:
    return ()


async def role_in(tenant_id: str, user_id: str) -> None:
    return None


def _route(method: Any, path: str, handler: Any, **more: Any) -> Route:
    settings = {"answers": {200: Answer("Done")}, **more}
    name = path.strip("/") or "root"
    settings |= {"operation_id": name, "summary": name, "tag": "demo", "access": "public"}
    return Route(method=method, path=path, handler=handler, **settings)


ROUTES = (
    _route("POST", "/wishes", echo, request=Wish),
    _route("POST", "/small", echo, request=Wish, max_body_bytes=64),
    _route("POST", "/tenants", name_tenant, request=TenantDraft),
    _route("GET", "/bug", fail),
    _route("GET", "/outage", be_out),
    _route("GET", "/moved", move),
    _route("GET", "/page", show_page, page=True),
    _route("GET", "/cut-off", be_cut_off),
    _route("GET", "/of/{tenantId}/{orderId}", tell_context),
    _route("GET", "/metrics-of-demo", get_metrics),
)


def demo_services(tokens: TokenVerifier | None = None, **pings: Any) -> Services:
    """Nothing but a timeline without entries; with `tokens` their callers are known, with no role in any tenant."""
    orders = SimpleNamespace(timeline=read_timeline)
    users = SimpleNamespace(role_in=role_in)
    return cast(
        Services,
        SimpleNamespace(pings=pings, orders=orders, tokens=tokens, users=users, operations=SimpleNamespace(get=None)),
    )
