"""What happens to every request: identity, log line, count, errors as problems, headers that protect."""

import re
import secrets
import time
from collections.abc import Iterator
from http import HTTPStatus

from aiohttp import web
from multidict import CIMultiDict

from bbws.gateway.hosts import is_own_host
from bbws.gateway.idempotency import once
from bbws.gateway.keys import (
    AUTHORIZER,
    BODY,
    CALLER,
    METRICS,
    OWN_NAMES,
    PROBLEM_PAGE,
    REQUEST_ID,
    SETTINGS,
    TRACE_ID,
    route_of,
)
from bbws.gateway.problems import ClientError, Problem, answer, problem_of
from bbws.gateway.requests import parsed_body, raw_body, require_media_type, sender
from bbws.gateway.route import EVENT_STREAM, Handler, Route
from bbws.shared.addresses import API
from bbws.shared.core.audit import acting
from bbws.shared.errors import Unavailable
from bbws.shared.ids import new_id
from bbws.shared.logging import bound, get_logger

log = get_logger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_QUIET = frozenset({"health-get", "ready-get", "metrics-get"})
_FLOW_IDS = {"tenantId": "tenant_id", "orderId": "order_id"}
_UNMATCHED = "unmatched"
_FOREIGN_NAME = "This name is not one of ours; BBWS_PUBLIC_BASE_URL holds the public one."

# Routing and rights are decided inside; a header from outside must not seem to (C-31).
_INTERNAL_HEADERS = ("X-Tenant-Id",)

_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self' {payfast}"
)
_PROTECTION = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def endpoint(route: Route) -> Handler:
    """The handler of `route`, called once the caller has the right and the body is read and parsed; a POST that
    repeats another with the same key gets that one's answer instead."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if caller := await request.app[AUTHORIZER].authorize(request, route):
            request[CALLER] = caller
        with acting(sender(request)):
            return await answered(request)

    async def answered(request: web.Request) -> web.StreamResponse:
        if route.takes_body:
            require_media_type(request)
            await raw_body(request)
        if route.request is not None:
            request[BODY] = await parsed_body(request, route.request)
        return await (route.handler(request) if route.idempotency == "never" else once(request, route))

    return handle


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every line logged below, and every event published below, carries the request's ids."""
    given = request.headers.get("X-Request-Id", "")
    request[REQUEST_ID] = given if _SANE_ID.fullmatch(given) else new_id()
    trace_id, flags = _trace_of(request.headers.get("traceparent", ""))
    request[TRACE_ID] = trace_id
    ids = {
        "request_id": request[REQUEST_ID],
        "correlation_id": request[REQUEST_ID],
        "trace_id": trace_id,
        "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-{flags}",
    }
    flow = {ours: request.match_info[name] for name, ours in _FLOW_IDS.items() if name in request.match_info}
    with bound(**ids, **flow):
        return await handler(_without_internal_headers(request))


def _trace_of(traceparent: str) -> tuple[str, str]:
    match = _TRACEPARENT.fullmatch(traceparent)
    return (match[1], match[2]) if match else (secrets.token_hex(16), "01")


def _without_internal_headers(request: web.Request) -> web.Request:
    if not any(name in request.headers for name in _INTERNAL_HEADERS):
        return request
    headers = CIMultiDict(request.headers)
    for name in _INTERNAL_HEADERS:
        headers.popall(name, None)
    return request.clone(headers=headers)


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One log line and one count for each request, whatever became of it."""
    started = time.perf_counter()
    status = 499  # The client went away, or the process ends: nobody got an answer.
    response: web.StreamResponse | None = None
    with request.app[METRICS].in_flight.track_inprogress():
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as redirect:
            status = redirect.status
            raise
        finally:
            streamed = response is not None and response.content_type == EVENT_STREAM
            _record(request, status, time.perf_counter() - started, timed=not streamed)
    return response


def _record(request: web.Request, status: int, duration_s: float, *, timed: bool) -> None:
    route = route_of(request)
    operation = route.operation_id if route else _UNMATCHED
    request.app[METRICS].ended(operation, status, duration_s if timed else None)
    write = log.debug if operation in _QUIET else log.info
    write(
        "request ended",
        method=request.method,
        path=request.path,
        operation=operation,
        status=status,
        duration_ms=round(duration_s * 1000, 1),
    )


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The only place where an exception becomes an answer."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return await _rendered(request, error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem and the log the rest
        _log_failure(request, error)
        return await _rendered(request, error)


@web.middleware
async def own_hosts_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """421 under a name that is not ours; only health checks and metrics are answered under any name."""
    route = route_of(request)
    is_watching = route is not None and route.operation_id in _QUIET
    if not is_watching and not is_own_host(request.headers.get("Host", ""), request.app[OWN_NAMES]):
        raise ClientError(HTTPStatus.MISDIRECTED_REQUEST, _FOREIGN_NAME)
    return await handler(request)


def _log_failure(request: web.Request, error: Exception) -> None:
    problem = problem_of(error, request[REQUEST_ID])
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.exception("request failed", reference=request[REQUEST_ID])
    elif isinstance(error, Unavailable):
        log.warning("a dependency is out of reach", dependency=error.dependency, reason=str(error))


async def _rendered(request: web.Request, error: Exception) -> web.StreamResponse:
    problem = problem_of(error, request[REQUEST_ID])
    if PROBLEM_PAGE in request.app and _wants_page(request):
        return await _page(request, problem)
    return answer(problem, request.path, request[TRACE_ID])


def _wants_page(request: web.Request) -> bool:
    route = route_of(request)
    if route is not None:
        return route.page
    return "text/html" in request.headers.get("Accept", "") and not request.path.startswith(f"{API}/")


async def _page(request: web.Request, problem: Problem) -> web.StreamResponse:
    response = await request.app[PROBLEM_PAGE](request, problem)
    response.headers.update(problem.headers)
    return response


async def protect(request: web.Request, response: web.StreamResponse) -> None:
    """Signal before the head of any answer is sent: request id, protection, caching; what is set already stays."""
    route = route_of(request)
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    for name, value in _policies(request, route):
        response.headers.setdefault(name, value)
    response.headers["Server"] = "bbws"


def _policies(request: web.Request, route: Route | None) -> Iterator[tuple[str, str]]:
    yield from _PROTECTION.items()
    is_page = route is not None and route.page
    settings = request.app[SETTINGS]
    if settings.public_base_url.startswith("https://"):
        yield "Strict-Transport-Security", "max-age=31536000"
    yield "Content-Security-Policy", _PAGE_POLICY.format(payfast=settings.payfast_url) if is_page else _API_POLICY
    yield "Cache-Control", "no-cache" if route is not None and route.cacheable else "no-store"
