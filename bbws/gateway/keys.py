"""The typed keys under which the application and each request carry what handlers need."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from aiohttp import web
from pydantic import BaseModel

from bbws.gateway.auth import Authorizer, Caller
from bbws.gateway.background import Background
from bbws.gateway.dependencies import Dependencies
from bbws.gateway.metrics import Metrics
from bbws.gateway.problems import Problem
from bbws.gateway.route import Handler, Route
from bbws.gateway.single_flight import SingleFlight
from bbws.gateway.streams import TimelineStreams
from bbws.shared.bootstrap import Services
from bbws.shared.integrations.payfast_sources import Network
from bbws.shared.settings import Settings

ProblemPage = Callable[[web.Request, Problem], Awaitable[web.StreamResponse]]

SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)
SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
DEPENDENCIES: web.AppKey[Dependencies] = web.AppKey("dependencies", Dependencies)
METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
STREAMS: web.AppKey[TimelineStreams] = web.AppKey("streams", TimelineStreams)
BACKGROUND: web.AppKey[Background] = web.AppKey("background", Background)
# PDFs that are drawn while somebody waits.
RENDERINGS: web.AppKey[SingleFlight[bytes]] = web.AppKey("renderings")
TRUSTED_PROXIES: web.AppKey[Sequence[Network]] = web.AppKey("trusted_proxies", Sequence)
AUTHORIZER: web.AppKey[Authorizer] = web.AppKey("authorizer", Authorizer)
# The names, beside addresses and localhost, under which the gateway answers; in lower case.
OWN_NAMES: web.AppKey[Collection[str]] = web.AppKey("own_names", Collection)
OPENAPI: web.AppKey[bytes] = web.AppKey("openapi", bytes)
ENDPOINTS: web.AppKey[Mapping[Handler, Route]] = web.AppKey("endpoints")
ROUTES_BY_ID: web.AppKey[Mapping[str, Route]] = web.AppKey("routes")
# Set by the storefront: how a problem looks to a person who asked for a page.
PROBLEM_PAGE: web.AppKey[ProblemPage] = web.AppKey("problem_page")

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
TRACE_ID: web.RequestKey[str] = web.RequestKey("trace_id", str)
BODY: web.RequestKey[BaseModel] = web.RequestKey("body", BaseModel)
RAW_BODY: web.RequestKey[bytes] = web.RequestKey("raw_body", bytes)
RESOURCE_ID: web.RequestKey[str] = web.RequestKey("resource_id", str)
# There on every operation that is not public.
CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)


def route_of(request: web.Request) -> Route | None:
    """The operation that the request reached; None for an address or a method that the API does not know."""
    return request.app[ENDPOINTS].get(request.match_info.handler)


def services(request: web.Request) -> Services:
    return request.app[SERVICES]
