"""Idempotency-Key on POST (draft-ietf-httpapi-idempotency-key-header-07): a repeat gets the first one's answer."""

import hashlib
import re
from collections.abc import Mapping
from http import HTTPStatus

import orjson
from aiohttp import web

from bbws.gateway.keys import REQUEST_ID, RESOURCE_ID, TRACE_ID, services
from bbws.gateway.problems import ClientError, answer, problem_of
from bbws.gateway.requests import actor, raw_body
from bbws.gateway.route import Route
from bbws.shared.core.idempotency import Begun, StoredAnswer
from bbws.shared.errors import BadRequest, Conflict, Rejected, Unavailable
from bbws.shared.logging import get_logger

log = get_logger(__name__)

HEADER = "Idempotency-Key"
MAX_KEY_CHARS = 255
RETRY_AFTER_S = 1

# An RFC 8941 string, or (leniently) what most clients send: a bare token such as a UUID.
_STRING = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~:/=-]+")
_STORED_HEADERS = ("Content-Type", "ETag", "Location")


async def once(request: web.Request, route: Route) -> web.StreamResponse:
    """The answer of the route's handler, or the stored one of an earlier request with the same key.

    Answers of 5xx are not stored: the repeat runs again, with the same id for what it creates.
    """
    key = key_of(request, required=route.idempotency == "required")
    if key is None:
        return await route.handler(request)
    begun = await _begin(request, route, key)
    if isinstance(begun, StoredAnswer):
        return _replayed(begun)
    request[RESOURCE_ID] = begun.resource_id
    try:
        response = await _answered(request, route)
    except BaseException:
        await _release(request, begun)
        raise
    await _keep(request, begun, response)
    return response


def key_of(request: web.Request, *, required: bool) -> str | None:
    """The key without its quotes. Raises BadRequest when it is malformed, or missing where it is required."""
    values = request.headers.getall(HEADER, [])
    if not values and not required:
        return None
    if not values:
        raise BadRequest(f'Send {HEADER}, new for each new order, as in: {HEADER}: "8e03978e-40d5-43dd-bc93-6894a57f".')
    text = values[0].strip()
    match = _STRING.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", match[1]) if match else text if _TOKEN.fullmatch(text) else ""
    if len(values) > 1 or not 1 <= len(key) <= MAX_KEY_CHARS:
        raise BadRequest(f"{HEADER} is one text of 1 to {MAX_KEY_CHARS} printable characters in double quotes.")
    return key


async def _begin(request: web.Request, route: Route, key: str) -> Begun | StoredAnswer:
    scope = scope_of(route.operation_id, actor(request), request.match_info)
    try:
        return await services(request).idempotency.begin(scope, key, await _fingerprint(request, scope))
    except Conflict as error:
        raise ClientError(HTTPStatus.CONFLICT, error.detail, {"Retry-After": str(RETRY_AFTER_S)}) from error


def scope_of(operation_id: str, caller: str, path: Mapping[str, str]) -> str:
    """A key belongs to one caller and one operation on one thing: nobody gets an answer meant for somebody else.

    Ids are the same in upper and lower case, and no id can be written so that it looks like the part beside it.
    """
    ids = {name: value.lower() if name.endswith("Id") else value for name, value in path.items()}
    return orjson.dumps([operation_id, caller, ids], option=orjson.OPT_SORT_KEYS).decode()


async def _fingerprint(request: web.Request, scope: str) -> str:
    digest = hashlib.sha256(f"{scope}\n{request.query_string}\n".encode())
    digest.update(await raw_body(request))
    return digest.hexdigest()


async def _answered(request: web.Request, route: Route) -> web.Response:
    """A refusal is an answer too: a repeat must not find that it has become possible meanwhile."""
    try:
        response = await route.handler(request)
    except Rejected as error:
        problem = problem_of(error, request[REQUEST_ID])
        return answer(problem, request.path, request[TRACE_ID])
    if not isinstance(response, web.Response):
        raise TypeError(f"{route.operation_id} takes an Idempotency-Key and must answer with a whole body")
    return response


async def _keep(request: web.Request, begun: Begun, response: web.Response) -> None:
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        await _release(request, begun)
        return
    headers = {name: response.headers[name] for name in _STORED_HEADERS if name in response.headers}
    try:
        answer_to_keep = StoredAnswer(response.status, headers, _bytes_of(response))
        await services(request).idempotency.finish(begun, answer_to_keep)
    except Unavailable as error:
        # What was asked for is done, and the caller shall know it; a repeat finds it by its id.
        log.warning("answer not kept", reason=str(error))


async def _release(request: web.Request, begun: Begun) -> None:
    try:
        await services(request).idempotency.abandon(begun)
    except Unavailable as error:
        # The lease frees the key as well, only later; the first error is the one to tell.
        log.warning("key not released", reason=str(error))


def _bytes_of(response: web.Response) -> bytes:
    if not isinstance(response.body, bytes | bytearray):
        raise TypeError("only answers of bytes can be stored")
    return bytes(response.body)


def _replayed(stored: StoredAnswer) -> web.Response:
    headers = {**stored.headers, "Idempotency-Replayed": "true"}
    return web.Response(status=stored.status, headers=headers, body=stored.body)
