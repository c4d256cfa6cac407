"""What a request says, checked: its body, ids, page, preconditions and wishes about the answer's form."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bbws.gateway.keys import BODY, CALLER, RAW_BODY, RESOURCE_ID, SETTINGS, TRUSTED_PROXIES, route_of
from bbws.gateway.problems import ClientError
from bbws.gateway.route import JSON, Route
from bbws.shared.contracts.base import Record
from bbws.shared.contracts.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, PageRequest
from bbws.shared.errors import BadRequest, FieldError, Invalid, NotFound, PreconditionFailed, PreconditionRequired
from bbws.shared.ids import is_id, new_id
from bbws.shared.integrations.payfast_sources import sender_address

# Who sends a body slower than this holds a connection for nothing.
BODY_TIMEOUT_S = 30.0
MAX_CURSOR_CHARS = 2048

_ENTITY_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_CURSOR = re.compile(r"[A-Za-z0-9_-]+")

M = TypeVar("M", bound=BaseModel)


def declared(request: web.Request) -> Route:
    """The route of an endpoint; what is not declared there must not be used, or the documentation would lie."""
    route = route_of(request)
    if route is None:
        raise LookupError(f"{request.path} has no route")
    return route


def actor(request: web.Request) -> str:
    """Who asks, as records and the audit trail name it."""
    return f"user:{request[CALLER].user_id}" if CALLER in request else "anonymous"


def sender(request: web.Request) -> str:
    """The address that the request came from, before any proxy of ours."""
    forwarded_for = request.headers.getall("X-Forwarded-For", [])
    return sender_address(request.remote or "", forwarded_for, request.app[TRUSTED_PROXIES])


async def raw_body(request: web.Request) -> bytes:
    """The whole body. Raises ClientError: 413 above the route's limit (also chunked), 408 when it comes too slowly."""
    if RAW_BODY not in request:
        limit = _body_limit(request)
        if request.content_length is not None and request.content_length > limit:
            raise _too_large(limit)
        request[RAW_BODY] = await _read_within(request, limit)
    return request[RAW_BODY]


def _body_limit(request: web.Request) -> int:
    return declared(request).max_body_bytes or request.app[SETTINGS].max_body_bytes


def _too_large(limit: int) -> ClientError:
    return ClientError(413, f"The body is larger than the {limit} bytes that this operation takes.")


async def _read_within(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise ClientError(408, f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise BadRequest("The body's transfer or content encoding is broken.") from error
    return bytes(body)


def require_media_type(request: web.Request) -> None:
    """Raises ClientError 415 for a body that is not of the route's media type."""
    if declared(request).body_optional and not request.body_exists:
        return
    expected, given = declared(request).request_media, request.content_type
    is_json = expected == JSON and given.startswith("application/") and given.endswith("+json")
    if given != expected and not is_json:
        detail = f"This operation takes {expected}; the request says {request.headers.get('Content-Type', 'nothing')}."
        raise ClientError(415, detail, {"Accept": expected})


async def parsed_body(request: web.Request, model: type[M]) -> M:
    """The body as `model`, which stands for itself where none was sent and none need be.

    Raises BadRequest when it is not JSON, Invalid with every field error at once.
    """
    raw = await raw_body(request)
    if not raw and declared(request).body_optional:
        return model()
    try:
        orjson.loads(raw)
        # Strict: "2" is no number and 1 is no date. Names as documented: camelCase, not Python's.
        return model.model_validate_json(raw, strict=True, by_alias=True, by_name=False)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}") from None
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> Invalid | BadRequest:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    if any(each["type"] == "json_invalid" for each in details):
        return BadRequest("The body is JSON nested too deeply to be read.")
    details = [each for each in details if not _only_follows(each, details)]
    count = len(details)
    sentence = "One thing in the body is wrong." if count == 1 else f"{count} things in the body are wrong."
    return Invalid(sentence, [_field_error(each) for each in details])


def _only_follows(error: ErrorDetails, others: Sequence[ErrorDetails]) -> bool:
    """A list is too short only because its items are wrong: pydantic counts those that are right."""
    place = error["loc"]
    return error["type"] == "too_short" and any(other["loc"][:-1][: len(place)] == place for other in others)


def _field_error(error: ErrorDetails) -> FieldError:
    if error["type"] == "extra_forbidden":
        return FieldError(json_pointer(error["loc"]), "This field is not known here.")
    reason = error["msg"].removeprefix("Value error, ")
    return FieldError(json_pointer(error["loc"]), f"{reason[:1].upper()}{reason[1:]}.")


def json_pointer(location: Sequence[str | int]) -> str:
    """RFC 6901 in URI form: `#/items/0/quantity`; `#` is the body itself."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def body(request: web.Request, model: type[M]) -> M:
    """The parsed body of an endpoint whose route declares `model`."""
    value = request[BODY]
    if not isinstance(value, model):
        raise TypeError(f"{declared(request).operation_id} declares another body than {model.__name__}")
    return value


def resource_id(request: web.Request) -> str:
    """The id for what this request creates; the same again when the same Idempotency-Key comes again."""
    if RESOURCE_ID not in request:
        request[RESOURCE_ID] = new_id()
    return request[RESOURCE_ID]


def path_id(request: web.Request, name: str) -> str:
    """A UUID of the path; what is no UUID names nothing that exists."""
    value = request.match_info[name].lower()
    if not is_id(value):
        raise NotFound(f"There is no {name.removesuffix('Id')} with this id.")
    return value


def page(request: web.Request) -> PageRequest:
    """`limit` and `cursor` of a list. Raises BadRequest for anything in the query that the route does not declare."""
    if not declared(request).paged:
        raise LookupError(f"{declared(request).operation_id} is not declared as paged")
    given = query(request)
    return PageRequest(_limit(given.get("limit")), _cursor(given.get("cursor")))


def query(request: web.Request) -> dict[str, str]:
    """The query parameters that were given.

    Raises BadRequest for one that the route does not declare, one that comes twice, and for a value against the `enum`
    or `maxLength` of its schema.
    """
    known = _query_schemas(declared(request))
    for name, value in request.query.items():
        if name not in known:
            named = ", ".join(known) or "none"
            raise BadRequest(f"This operation does not know the query parameter {name[:80]!r}; it knows {named}.")
        if len(request.query.getall(name)) > 1:
            raise BadRequest(f"The query parameter {name} is given more than once.")
        _hold_against_schema(name, value, known[name])
    return dict(request.query)


def _query_schemas(route: Route) -> dict[str, Mapping[str, Any]]:
    own = {each.name: each.schema for each in route.parameters if each.place == "query"}
    return ({"limit": {}, "cursor": {}} if route.paged else {}) | own


def _hold_against_schema(name: str, value: str, schema: Mapping[str, Any]) -> None:
    choices, max_chars = schema.get("enum", [value]), schema.get("maxLength", len(value))
    if value not in choices:
        raise BadRequest(f"{name} is one of {', '.join(choices)}.")
    if len(value) > max_chars:
        raise BadRequest(f"{name} has at most {max_chars} characters.")


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE_SIZE
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_PAGE_SIZE:
        raise BadRequest(f"limit is a whole number from 1 to {MAX_PAGE_SIZE}.")
    return int(text)


def _cursor(text: str | None) -> str | None:
    if text is None:
        return None
    if len(text) > MAX_CURSOR_CHARS or not _CURSOR.fullmatch(text):
        raise BadRequest("This cursor is not one that this list gave; start again without it.")
    return text


async def expected_version(request: web.Request, current: Callable[[], Awaitable[Record]]) -> int:
    """The version that If-Match asks for; `current` is read only for `*` and for lists of tags.

    Raises PreconditionRequired without the header, BadRequest for what is no entity tag, PreconditionFailed when no
    tag can be that of the resource (weak tags never are, RFC 9110 section 13.1.1).
    """
    if not declared(request).if_match:
        raise LookupError(f"{declared(request).operation_id} does not declare If-Match")
    header = ", ".join(request.headers.getall("If-Match", []))
    if not header:
        raise PreconditionRequired('Send If-Match with the ETag that you read last, as in: If-Match: "7".')
    strong = _strong_tags(header)
    if strong is not None and len(strong) == 1 and strong[0].isascii() and strong[0].isdigit():
        return int(strong[0])
    version = (await current()).version
    if strong is not None and str(version) not in strong:
        raise PreconditionFailed("The resource has changed since you read it; read it again.")
    return version


def _strong_tags(header: str) -> list[str] | None:
    """The strong entity tags of a list; None for `*`."""
    if header.strip() == "*":
        return None
    tags = []
    for part in header.split(","):
        match = _ENTITY_TAG.fullmatch(part.strip())
        if match is None:
            raise BadRequest('If-Match takes entity tags in double quotes, as in: If-Match: "7".')
        if not match[1]:
            tags.append(match[2])
    return tags


def matches_none(request: web.Request, etag: str) -> bool:
    """Whether If-None-Match holds `etag` (weak comparison) or is `*`: the caller has this already."""
    header = ", ".join(request.headers.getall("If-None-Match", []))
    return header.strip() == "*" or etag in {part.strip().removeprefix("W/") for part in header.split(",")}


def wanted_media(request: web.Request, offered: Sequence[str]) -> str:
    """The offered media type that Accept likes best, the earlier one when equal. Raises ClientError 406 for none."""
    ranges = _accepted_ranges(", ".join(request.headers.getall("Accept", [])) or "*/*")
    quality = {media: _quality(media, ranges) for media in offered}
    best = max(offered, key=lambda media: quality[media])
    if quality[best] <= 0:
        raise ClientError(406, f"This is to be had as {' or '.join(offered)}.")
    return best


def _accepted_ranges(header: str) -> dict[str, float]:
    ranges = {}
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [text[2:] for text in parameters if text.startswith("q=")]
        ranges[name] = _weight(weights[0]) if weights else 1.0
    return ranges


def _weight(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text) else 0.0


def _quality(media: str, ranges: dict[str, float]) -> float:
    family = media.split("/")[0] + "/*"
    return next((ranges[name] for name in (media, family, "*/*") if name in ranges), 0.0)
