"""A client that holds every answer against the published OpenAPI document, and requests that tests repeat."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from openapi_schema_validator import OAS31Validator
from yarl import URL

from bbws.gateway.app import create_app
from bbws.gateway.openapi import document
from bbws.gateway.route import Route
from bbws.gateway.routes import ROUTES
from bbws.shared.bootstrap import Services
from bbws.shared.contracts.sales.products import Product, ProductDraft
from bbws.shared.contracts.tenancy.tenants import Tenant, TenantDraft
from bbws.shared.ids import new_id
from bbws.shared.settings import Settings
from tests.support.identity import Identity

ADDRESS = {"name": "Thandi Nkosi", "line1": "4 Jan Smuts Avenue", "city": "Johannesburg", "postalCode": "2196"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes
    json: Any

    @property
    def pointers(self) -> set[str]:
        return {error["pointer"] for error in self.json["errors"]}


class Api:
    """Every answer must be one that the OpenAPI document promises: status, media type and schema."""

    def __init__(
        self, client: TestClient[Any, Any], services: Services, identity: Identity, bearer: Mapping[str, str]
    ) -> None:
        self.client = client
        self.services = services
        self.identity = identity
        self.bearer = bearer

    def by(self, *groups: str, **token: Any) -> "Api":
        """The same API for another caller; without groups and `user_id` somebody who has no role anywhere."""
        return Api(self.client, self.services, self.identity, self.identity.bearer(*groups, **token))

    def anonymous(self) -> "Api":
        return Api(self.client, self.services, self.identity, {})

    async def call(self, method: str, path: str, **request: Any) -> Answer:
        request["headers"] = {**self.bearer, **request.get("headers", {})}
        async with self.client.request(method, URL(path, encoded=True), **request) as response:
            answer = await answer_of(response)
        _hold_against_description(method, path.split("?")[0], response, answer)
        return answer

    async def get(self, path: str, **request: Any) -> Answer:
        return await self.call("GET", path, **request)

    async def post(self, path: str, body: Any, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", path, json=body, headers=named)

    async def a_tenant(self) -> Tenant:
        draft = TenantDraft(email=f"thandi+{new_id()}@protea.example", organization_name=f"Protea {new_id()}")
        return await self.services.tenants.create(draft, actor="test", tenant_id=new_id())

    async def a_product(self, **fields: Any) -> Product:
        draft = ProductDraft(**{"name": "WordPress Business", "price_cents": 249_00, **fields})
        return await self.services.products.create(draft, actor="test", product_id=new_id())

    async def place(self, tenant: Tenant, product: Product, key: str | None = None, **fields: Any) -> Answer:
        body = {**order_body(product.id), **fields}
        return await self.post(orders_path(tenant), body, Idempotency_Key=key or f'"{new_id()}"')


@asynccontextmanager
async def as_operator(
    identity: Identity, services: SimpleNamespace, settings: Settings | None = None, **options: Any
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """A gateway over services that a test made up; an operator sends every request."""
    async with identity.verifier() as tokens:
        services.tokens, services.users = tokens, SimpleNamespace(role_in=None)
        services.operations = SimpleNamespace(get=None)
        app = create_app(settings or Settings(), cast(Services, services), **options)
        async with TestClient(TestServer(app), headers=identity.bearer("Operator")) as client:
            yield client


def orders_path(tenant: Tenant) -> str:
    return f"/v1.0/tenants/{tenant.id}/orders"


def order_body(product_id: str) -> dict[str, Any]:
    return {
        "items": [{"productId": product_id, "quantity": 1}],
        "billingAddress": ADDRESS,
        "customerEmail": "thandi@protea.example",
    }


async def answer_of(response: ClientResponse) -> Answer:
    body = await response.read()
    parsed = await response.json(content_type=None) if response.content_type.endswith("json") and body else None
    return Answer(response.status, response.headers, body, parsed)


@cache
def description() -> dict[str, Any]:
    return document(Settings())


def _hold_against_description(method: str, path: str, response: ClientResponse, answer: Answer) -> None:
    route = _route_for(method, path)
    if route is None or route.page:
        return
    promised = description()["paths"][route.path][method.lower()]["responses"]
    assert str(answer.status) in promised, f"{route.operation_id} never said it may answer {answer.status}"
    content = _resolved(promised[str(answer.status)]).get("content", {})
    if not content:
        assert answer.body == b""
        return
    assert response.content_type in content
    if answer.json is not None:
        schema = {**content[response.content_type]["schema"], "components": description()["components"]}
        OAS31Validator(schema).validate(answer.json)
        for link in _links(answer.json):
            assert _leads_somewhere(link), link


def _links(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All links of an answer, those of a list's items too."""
    for each in (answer, *answer.get("items", ())):
        yield from each.get("_links", {}).values()


def _leads_somewhere(link: Mapping[str, Any]) -> bool:
    """To an operation of ours under the method that it names, or out of the house."""
    path = link["href"].split("?")[0]
    method = link.get("method", "GET")
    return not path.startswith("/") or any(
        _matches(route.path, path) and (route.method == method or "method" not in link) for route in ROUTES
    )


def _route_for(method: str, path: str) -> Route | None:
    matching = (route for route in ROUTES if route.method == method and _matches(route.path, path))
    return next(matching, None)


def _matches(template: str, path: str) -> bool:
    wanted, given = template.split("/"), path.split("/")
    pairs = zip(wanted, given, strict=False)
    return len(wanted) == len(given) and all(part.startswith("{") or part == other for part, other in pairs)


def _resolved(response: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in response:
        name = response["$ref"].rsplit("/", 1)[1]
        found: dict[str, Any] = description()["components"]["responses"][name]
        return found
    return response
