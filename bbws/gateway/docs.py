"""The API's description, for programs and for people; the page needs nothing from elsewhere."""

from functools import cache

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from bbws.gateway.keys import OPENAPI
from bbws.gateway.route import JSON, Answer, Route
from bbws.shared.errors import NotFound
from bbws.shared.templating import templates_dir

_ASSETS = {"docs.js": "text/javascript", "docs.css": "text/css"}


class OpenApiDocument(BaseModel):
    model_config = ConfigDict(extra="allow")

    openapi: str


async def get_openapi(request: web.Request) -> web.Response:
    return web.Response(body=request.app[OPENAPI], content_type=JSON)


async def get_page(request: web.Request) -> web.Response:  # noqa: ARG001
    return web.Response(body=_packaged("index.html"), content_type="text/html", charset="utf-8")


async def get_asset(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in _ASSETS:
        raise NotFound("There is nothing at this address.")
    return web.Response(body=_packaged(name), content_type=_ASSETS[name], charset="utf-8")


@cache
def _packaged(name: str) -> bytes:
    return (templates_dir() / "docs" / name).read_bytes()


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/openapi.json",
        operation_id="openapi-get",
        handler=get_openapi,
        summary="This description",
        tag="operation",
        access="public",
        answers={200: Answer("OpenAPI 3.1", OpenApiDocument)},
        cacheable=True,
    ),
    Route(
        method="GET",
        path="/docs",
        operation_id="docs-page",
        handler=get_page,
        summary="The API for people",
        tag="pages",
        access="public",
        cacheable=True,
        page=True,
    ),
    Route(
        method="GET",
        path="/docs/{name}",
        operation_id="docs-asset",
        handler=get_asset,
        summary="Script and styles of the page",
        tag="pages",
        access="public",
        cacheable=True,
        page=True,
    ),
)
