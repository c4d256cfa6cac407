"""The published description is valid, complete and true; its page needs nothing from elsewhere."""

import re

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import OpenAPIV31SpecValidator

from bbws.gateway.app import create_app
from bbws.gateway.keys import ENDPOINTS, OPENAPI
from bbws.gateway.openapi import document
from bbws.gateway.permissions import Right
from bbws.gateway.route import Answer, Route, Scope
from bbws.gateway.routes import ROUTES
from bbws.shared.contracts.pages import MAX_PAGE_SIZE
from bbws.shared.settings import Settings
from bbws.shared.templating import templates_dir
from tests.gateway.demo import demo_services

DESCRIPTION = document(Settings())


def _described() -> dict[str, tuple[str, str]]:
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in DESCRIPTION["paths"].items()
        for method, operation in methods.items()
    }


def test_description_is_valid() -> None:
    """Generators and validators refuse the whole document for one mistake in it."""
    assert list(OpenAPIV31SpecValidator(DESCRIPTION).iter_errors()) == []


def test_routes_and_description_say_the_same() -> None:
    """Everything that answers is described, and everything described answers: names, methods, paths."""
    app = create_app(Settings(), demo_services())
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = set(_described().values())
    pages = {(route.method, route.path) for route in app[ENDPOINTS].values() if route.page}
    assert served == described | pages
    assert described.isdisjoint(pages)
    assert {route.operation_id for route in ROUTES if not route.page} == set(_described())


async def test_description_names_the_public_address_and_is_made_once() -> None:
    """A client made from it calls the server that it names: each gateway its own, however many a process has."""
    servers = {}
    for url in ("https://one.example", "https://two.example"):
        apps = [create_app(Settings(public_base_url=url), demo_services()) for _ in range(2)]
        assert apps[0][OPENAPI] is apps[1][OPENAPI]
        servers[url] = [server["url"] for server in orjson.loads(apps[0][OPENAPI])["servers"]]
    assert servers == {"https://one.example": ["https://one.example"], "https://two.example": ["https://two.example"]}


def test_what_a_body_and_a_page_are_is_described_exactly() -> None:
    """Generated clients leave out what need not be sent, and refuse what is longer than promised."""
    bodies = {
        path: DESCRIPTION["paths"][f"/v1.0/tenants/{{tenantId}}/{path}"]["post"]["requestBody"]["required"]
        for path in ("orders", "park", "unpark")
    }
    assert bodies == {"orders": True, "park": True, "unpark": False}
    page = DESCRIPTION["components"]["schemas"]["ProductPage"]
    assert (page["required"], page["properties"]["items"]["maxItems"]) == (["items", "_links"], MAX_PAGE_SIZE)


def test_api_paths_carry_the_version() -> None:
    """R-090: whatever is no plumbing lies below /v1.0."""
    plumbing = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
    assert {path for _, path in _described().values() if not path.startswith("/v1.0/")} == plumbing


def test_headers_that_are_required_are_described() -> None:
    """A client made from the description must send what we insist on."""
    order = DESCRIPTION["paths"]["/v1.0/tenants/{tenantId}/orders"]["post"]
    key = next(each for each in order["parameters"] if each["name"] == "Idempotency-Key")
    assert key["required"]
    assert {"201", "400", "404", "409", "413", "415", "422", "500", "503"} <= set(order["responses"])
    change = DESCRIPTION["paths"]["/v1.0/products/{productId}"]["put"]
    assert {"412", "428"} <= set(change["responses"])


def test_resources_are_described_with_their_links() -> None:
    """`_links` is part of the contract (R-089), and unknown fields stay forbidden beside it."""
    order = DESCRIPTION["components"]["schemas"]["OrderAnswerResource"]
    assert {"_links", "checkout", "totalCents"} <= set(order["properties"])
    assert "_links" in order["required"]
    assert order["additionalProperties"] is False


async def _nothing(request: web.Request) -> web.Response:
    return web.Response()


@pytest.mark.parametrize(
    "wrong",
    [
        {"idempotency": "optional"},
        {"method": "POST", "if_match": True},
        {"access": None},
        {"access": "orders:read"},
        {"access": ""},
    ],
)
def test_route_refuses_what_cannot_be(wrong: dict[str, object]) -> None:
    """A mistake in the table of routes shows when the process starts, not when a customer calls."""
    with pytest.raises(ValueError, match="x-do"):
        _route(**wrong)


@pytest.mark.parametrize(
    ("scope", "path", "of_path"),
    [
        (None, "/x", "platform"),
        ("tenant", "/x", "platform"),
        ("platform", "/x/{tenantId}", "tenant"),
        ("user", "/x/{tenantId}/users/{userId}", "tenant"),
        ("tenant", "/x/{userId}", "user"),
        ("platform", "/x/{operationId}", "operation"),
    ],
)
def test_scope_is_that_of_the_path(scope: Scope | None, path: str, of_path: Scope) -> None:
    """A route of a tenant that asks for another's roles would let strangers in, or its owner out."""
    with pytest.raises(ValueError, match=rf"x-do: the scope of .* is {of_path}"):
        _route(access=Right.TENANTS_READ, scope=scope, path=path)
    assert _route(access=Right.TENANTS_READ, scope=of_path, path=path).scope == of_path
    with pytest.raises(ValueError, match=r"the scope of .* is None"):
        _route(access="public", scope=of_path, path=path)


def _route(**more: object) -> Route:
    settings = {
        "method": "GET", "path": "/x", "operation_id": "x-do", "handler": _nothing, "summary": "", "tag": "",
        "access": "public", "answers": {200: Answer("Done")}, **more,
    }  # fmt: skip
    return Route(**settings)  # type: ignore[arg-type]


async def test_page_and_description_are_served_from_the_package() -> None:
    """The page works in a cellar without internet: own script, own styles, nothing inline that the policy forbids."""
    async with TestClient(TestServer(create_app(Settings(), demo_services()))) as client:
        page = await (await client.get("/docs")).text()
        script = await client.get("/docs/docs.js")
        styles = await client.get("/docs/docs.css")
        api = await client.get("/openapi.json")
        assert (script.content_type, styles.content_type) == ("text/javascript", "text/css")
        assert (await api.json())["openapi"] == "3.1.0"
        assert (await client.get("/docs/..%2flayout.html")).status == 404
        assert (await client.head("/docs")).status == 200
        policy = (await client.get("/docs")).headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "<style" not in page
    assert re.findall(r"<script(?![^>]*src=)", page) == []


def test_page_names_no_other_host() -> None:
    """Not even a font or an icon comes from elsewhere."""
    for name in ("index.html", "docs.js", "docs.css"):
        text = (templates_dir() / "docs" / name).read_text(encoding="utf-8")
        assert set(re.findall(r"https?://([^/\"'`\s]+)", text)) <= {"bbws.example"}
        assert "innerHTML" not in text


def test_what_an_operation_insists_on_is_described_as_required() -> None:
    """A generated client leaves out what need not be sent, and is refused for it: 428 without If-Match, 400 without a
    key."""
    required = {
        route.operation_id: {
            each["name"]
            for each in DESCRIPTION["paths"][route.path][route.method.lower()]["parameters"]
            if each["required"]
        }
        for route in ROUTES
        if not route.page
    }
    insisted = {
        route.operation_id: {*route.path_names}
        | ({"If-Match"} if route.if_match else set())
        | ({"Idempotency-Key"} if route.idempotency == "required" else set())
        for route in ROUTES
        if not route.page
    }
    assert required == insisted
