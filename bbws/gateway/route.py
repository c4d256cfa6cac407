"""What one URL of the API is: a value from which the router, the checks and OpenAPI are all made."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel

from bbws.gateway.permissions import Access, Right

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Shape = Literal["resource", "collection", "plain"]
# Whose roles count: staff's alone (platform); or, beside them, those in the tenant that the path names, those in the
# tenant whose operation it names, or the user's own whom it names.
Scope = Literal["platform", "tenant", "operation", "user"]
_SCOPE_NAMES: Mapping[str, Scope] = {"tenantId": "tenant", "operationId": "operation", "userId": "user"}

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
EVENT_STREAM = "text/event-stream"
JSON_LINES = "application/jsonl"


@cache
def _names_in(path: str) -> tuple[str, ...]:
    return tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One successful answer of an operation.

    `resource` answers carry `_links` and an ETag, `collection` answers `items` and `_links`, `plain` ones the model as
    it is. `media` lists other media types than JSON; their bodies have no model. `retry_after`: it says when to come
    again.
    """

    description: str
    model: type[BaseModel] | None = None
    shape: Shape = "plain"
    media: tuple[str, ...] = ()
    etag: bool = False
    location: bool = False
    retry_after: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query or header parameter that only this operation knows."""

    name: str
    place: Literal["query", "header"]
    description: str
    schema: Mapping[str, Any]


def query_parameter(name: str, description: str, *choices: str, max_chars: int = 0) -> Parameter:
    """One of `choices`, or without them a text of at most `max_chars`."""
    schema = {"type": "string", "enum": list(choices)} if choices else {"type": "string", "maxLength": max_chars}
    return Parameter(name, "query", description, schema)


# Compared by identity: each stands once in `routes.py`, and what is made of a list of them can be remembered by it.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """One method on one path.

    `access` is the right that its caller needs, `public`, or `order-key` for pages of one order. `scope` says whose
    roles may give the right; the path must name it, and what lies below a tenant has no other. `errors` are the
    statuses with which the operation's own rules refuse; those that follow from the other fields (a right: 401, 403; a
    body: 400, 413, 415, 422; If-Match: 412, 428 …) need not be repeated. Where `body_optional`, every field of
    `request` has a default. `max_body_bytes` of None is the limit of the settings. `cacheable` answers hold nothing
    personal. `page` routes answer people: they allow styles and scripts of this origin, and are not part of the API's
    description.
    """

    method: Method
    path: str
    operation_id: str
    handler: Handler
    summary: str
    tag: str
    access: Access
    scope: Scope | None = None
    description: str = ""
    request: type[BaseModel] | None = None
    request_media: str = JSON
    body_optional: bool = False
    answers: Mapping[int, Answer] = field(default_factory=lambda: MappingProxyType({}))
    errors: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    idempotency: Literal["required", "optional", "never"] = "never"
    if_match: bool = False
    paged: bool = False
    conditional: bool = False
    max_body_bytes: int | None = None
    cacheable: bool = False
    page: bool = False

    @property
    def takes_body(self) -> bool:
        return self.request is not None or self.request_media != JSON

    @property
    def streamed(self) -> bool:
        return any({EVENT_STREAM, JSON_LINES} & set(answer.media) for answer in self.answers.values())

    @property
    def path_names(self) -> tuple[str, ...]:
        return _names_in(self.path)

    def address(self, **ids: str) -> str:
        """The path with `ids` in it; a name that they leave out stays as it is, which makes a template (RFC 6570)."""
        names = _names_in(self.path)
        if len(ids) != len(names) or not all(name in ids for name in names):
            if unknown := ids.keys() - names:
                raise LookupError(f"{self.operation_id}: {self.path} has no {' or '.join(sorted(unknown))}")
            ids = {name: f"{{{name}}}" for name in names} | ids
        return self.path.format_map(ids)

    def _scope_of_path(self) -> Scope | None:
        """None where nobody's roles are asked for. The first id counts: a user of a tenant is the tenant's."""
        if not isinstance(self.access, Right):
            return None
        return next((_SCOPE_NAMES[name] for name in self.path_names if name in _SCOPE_NAMES), "platform")

    def __post_init__(self) -> None:
        if not isinstance(self.access, Right) and self.access not in {"public", "order-key"}:
            raise ValueError(f"{self.operation_id}: {self.access!r} says nobody who may")
        if self.scope != self._scope_of_path():
            raise ValueError(f"{self.operation_id}: the scope of {self.path} is {self._scope_of_path()}")
        if self.idempotency != "never" and self.method != "POST":
            raise ValueError(f"{self.operation_id}: only POST takes an Idempotency-Key")
        if self.if_match and self.method not in {"PUT", "PATCH", "DELETE"}:
            raise ValueError(f"{self.operation_id}: If-Match belongs to PUT, PATCH and DELETE")
        if self.body_optional and self.request is None:
            raise ValueError(f"{self.operation_id}: a body that may be missing needs a model that stands for it")
