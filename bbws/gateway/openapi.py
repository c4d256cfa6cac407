"""OpenAPI 3.1 from the routes and the pydantic contracts (both speak JSON Schema 2020-12)."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import BaseModel, Field
from pydantic.json_schema import JsonSchemaMode, JsonSchemaValue, models_json_schema

import bbws
from bbws.gateway.permissions import GRANTS, Right, Role
from bbws.gateway.problems import PROBLEM_JSON
from bbws.gateway.route import JSON, Answer, Route
from bbws.gateway.routes import ROUTES
from bbws.shared.contracts.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from bbws.shared.settings import Settings

Schema = dict[str, Any]

_SCHEME = "cognito"
_UUID_EXAMPLE = "019abf6e-5d1c-7c3e-9d7b-3f1f6f3c2a10"
_PROBLEMS = {
    400: "The request is malformed",
    401: "The token is missing or does not hold; `WWW-Authenticate` says why",
    403: "The caller lacks the right that `detail` names",
    404: "There is no such thing",
    406: "Not to be had in any of the wanted media types",
    408: "The body came too slowly",
    409: "In conflict with what exists, or a request with the same key is under way",
    412: "Changed since it was read",
    413: "The body is too large",
    415: "Not a media type that this takes",
    422: "Understood, but wrong; `errors` names every field at once",
    428: "If-Match is missing",
    500: "A bug of ours; `detail` holds a reference",
    503: "A part is out of reach; come again after `Retry-After` seconds",
}


class ProblemField(BaseModel):
    pointer: str = Field(description="JSON pointer into the body (RFC 6901).", examples=["#/items/0/quantity"])
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["urn:bbws:problem:invalid-request"])
    title: str
    status: int
    detail: str
    instance: str
    traceId: str  # noqa: N815 (as it is in JSON)
    errors: list[ProblemField] = []


class Link(BaseModel):
    """HAL link; `href` is an absolute path, an address elsewhere, or (`templated`) an RFC 6570 template.

    `method` is there where it is not GET.
    """

    href: str
    method: str = ""
    title: str = ""
    type: str = ""
    templated: bool = False


def document(settings: Settings) -> dict[str, Any]:
    """The description of this gateway, as `/openapi.json` serves it."""
    return describe(ROUTES, settings.public_base_url)


@lru_cache(maxsize=8)
def openapi_json(routes: tuple[Route, ...], public_base_url: str) -> bytes:
    """Made once for all applications of a process that describe the same."""
    return orjson.dumps(describe(routes, public_base_url))


def describe(routes: Iterable[Route], public_base_url: str) -> dict[str, Any]:
    described = [route for route in routes if not route.page]
    schemas = _Schemas(described)
    paths: dict[str, Any] = {}
    for route in described:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "BBWS",
            "version": bbws.__version__,
            "summary": "Hosting products: order, pay, invoice.",
            "description": (
                "Errors are problem+json. Lists come in pages; follow `_links.next`. `_links` say what this caller may "
                "do next; what changes something names its `method`. Money is in cents."
            ),
        },
        "servers": [{"url": public_base_url}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in described)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {_problem_name(status): _problem(text) for status, text in _PROBLEMS.items()},
            "securitySchemes": {_SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


class _Schemas:
    """The component schemas of all models, and those of resources and collections made from them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
            (ProblemDocument, "serialization"): None,
            (Link, "validation"): None,
        }
        for route in routes:
            wanted |= dict.fromkeys(_models_of(route))
        self._references, definitions = models_json_schema(list(wanted), ref_template="#/components/schemas/{model}")
        self.components: dict[str, Schema] = definitions["$defs"]

    def of_request(self, model: type[BaseModel]) -> JsonSchemaValue:
        return self._references[model, "validation"]

    def of_answer(self, answer: Answer) -> JsonSchemaValue:
        assert answer.model is not None
        plain = self._references[answer.model, "serialization"]
        if answer.shape == "plain":
            return plain
        resource = self._resource(plain["$ref"].rsplit("/", 1)[1])
        return resource if answer.shape == "resource" else self._page(resource["$ref"].rsplit("/", 1)[1])

    def _resource(self, name: str) -> JsonSchemaValue:
        """`name` with `_links`: a copy, because a closed schema (nothing unknown) cannot be added to by allOf."""
        schema = deepcopy(self.components[name])
        schema["properties"]["_links"] = _LINKS
        schema["required"] = [*schema.get("required", []), "_links"]
        return self._add(f"{name}Resource", schema)

    def _page(self, resource: str) -> JsonSchemaValue:
        items = {"type": "array", "items": {"$ref": f"#/components/schemas/{resource}"}, "maxItems": MAX_PAGE_SIZE}
        properties = {"items": items, "_links": _LINKS}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        return self._add(f"{resource.removesuffix('Resource')}Page", schema)

    def _add(self, name: str, schema: Schema) -> JsonSchemaValue:
        self.components[name] = {**schema, "title": name}
        return {"$ref": f"#/components/schemas/{name}"}


_LINKS: Schema = {
    "type": "object",
    "description": "What may be read or done next.",
    "additionalProperties": {"$ref": "#/components/schemas/Link"},
}


def _models_of(route: Route) -> Iterable[tuple[type[BaseModel], JsonSchemaMode]]:
    if route.request:
        yield route.request, "validation"
    for answer in route.answers.values():
        if answer.model:
            yield answer.model, "serialization"


def _operation(route: Route, schemas: _Schemas) -> Schema:
    operation: Schema = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": list(_parameters(route)),
        "responses": _responses(route, schemas),
        "security": [{_SCHEME: [route.access.value]}] if isinstance(route.access, Right) else [],
    }
    if text := _description(route):
        operation["description"] = text
    if route.takes_body:
        schema = schemas.of_request(route.request) if route.request else {"type": "object"}
        content = {route.request_media: {"schema": schema}}
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    return operation


def _description(route: Route) -> str:
    if not isinstance(route.access, Right):
        return route.description
    roles = ", ".join(role.value for role in Role if role in GRANTS[route.access])
    return f"{route.description}\n\nNeeds the right `{route.access.value}`, which these have: {roles}.".lstrip()


def _parameters(route: Route) -> Iterable[Schema]:
    for name in route.path_names:
        yield {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
    if route.paged:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}
        yield _parameter("limit", "query", "Items on the page.", limit)
        yield _parameter("cursor", "query", "From `_links.next` of the page before.", {"type": "string"})
    if route.idempotency != "never":
        text = "A new one for each new request; a repeat with the same key gets the first answer. In double quotes."
        key = {"type": "string", "minLength": 1, "maxLength": 257, "examples": [f'"{_UUID_EXAMPLE}"']}
        yield _parameter("Idempotency-Key", "header", text, key, required=route.idempotency == "required")
    if route.if_match:
        tag = {"type": "string", "examples": ['"7"']}
        yield _parameter("If-Match", "header", "The ETag that was read last, or `*`.", tag, required=True)
    if route.conditional:
        yield _parameter("If-None-Match", "header", "An ETag that is known already.", {"type": "string"})
    for each in route.parameters:
        yield _parameter(each.name, each.place, each.description, each.schema)


def _path_schema(name: str) -> Schema:
    if name.endswith("Id"):
        return {"type": "string", "format": "uuid", "examples": [_UUID_EXAMPLE]}
    return {"type": "string"}


def _parameter(name: str, place: str, text: str, schema: Mapping[str, Any], *, required: bool = False) -> Schema:
    return {"name": name, "in": place, "required": required, "description": text, "schema": dict(schema)}


def _responses(route: Route, schemas: _Schemas) -> Schema:
    responses: Schema = {str(status): _answer(answer, route, schemas) for status, answer in route.answers.items()}
    if route.conditional:
        responses["304"] = {"description": "Not changed since", "headers": {"ETag": _ETAG}}
    for status in problem_statuses(route):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{_problem_name(status)}"})
    return dict(sorted(responses.items()))


def problem_statuses(route: Route) -> list[int]:
    """Every status with which the operation may refuse or fail."""
    statuses = {500, 503, *route.errors}
    if isinstance(route.access, Right):
        statuses |= {401, 403}
    if route.takes_body:
        statuses |= {400, 408, 413, 415}
    if route.request:
        statuses.add(422)
    if route.path_names:
        statuses.add(404)
    if route.paged or any(parameter.place == "query" for parameter in route.parameters):
        statuses.add(400)
    if route.idempotency != "never":
        statuses |= {400, 409, 422}
    if route.if_match:
        statuses |= {400, 412, 428}
    return sorted(statuses)


_ETAG: Schema = {"description": "The version, for If-Match and If-None-Match.", "schema": {"type": "string"}}


def _answer(answer: Answer, route: Route, schemas: _Schemas) -> Schema:
    response: Schema = {"description": answer.description, "headers": _headers(answer, route)}
    if answer.media:
        # A stream's schema is that of each event's data or of each line, which OpenAPI 3.1 cannot say otherwise.
        schema = schemas.of_answer(answer) if answer.model else {"type": "string"}
        response["content"] = {media: {"schema": schema} for media in answer.media}
    elif answer.model:
        response["content"] = {JSON: {"schema": schemas.of_answer(answer)}}
    return response


def _headers(answer: Answer, route: Route) -> Schema:
    headers: Schema = {"X-Request-Id": {"description": "Quote it when asking.", "schema": {"type": "string"}}}
    if answer.etag:
        headers["ETag"] = _ETAG
    if answer.location:
        headers["Location"] = {"description": "The new resource.", "schema": {"type": "string"}}
    if answer.retry_after:
        headers["Retry-After"] = {"description": "Seconds until it is worth asking.", "schema": {"type": "integer"}}
    if route.paged:
        headers["Link"] = {"description": 'The next page, `rel="next"`.', "schema": {"type": "string"}}
    if route.idempotency != "never":
        headers["Idempotency-Replayed"] = {"description": "`true` on a repeat.", "schema": {"type": "string"}}
    return headers


def _problem_name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")


def _problem(text: str) -> Schema:
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {"description": text, "content": content}
