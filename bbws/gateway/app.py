"""Builds the gateway and runs it."""

import asyncio
import gc
import ipaddress
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial

from aiohttp import web

from bbws.gateway.api.sales.documents import MAX_RENDERINGS, TOO_MANY_RENDERINGS
from bbws.gateway.auth import Authorizer
from bbws.gateway.background import Background
from bbws.gateway.dependencies import Dependencies
from bbws.gateway.hosts import host_names
from bbws.gateway.keys import (
    AUTHORIZER,
    BACKGROUND,
    DEPENDENCIES,
    ENDPOINTS,
    METRICS,
    OPENAPI,
    OWN_NAMES,
    RENDERINGS,
    ROUTES_BY_ID,
    SERVICES,
    SETTINGS,
    STREAMS,
    TRUSTED_PROXIES,
)
from bbws.gateway.metrics import Metrics
from bbws.gateway.middlewares import endpoint, identify, observe, own_hosts_only, protect, render_errors
from bbws.gateway.openapi import openapi_json
from bbws.gateway.route import Route
from bbws.gateway.routes import ROUTES, STOREFRONT
from bbws.gateway.single_flight import SingleFlight
from bbws.gateway.storefront.pages import add_pages
from bbws.gateway.streams import StreamLimits, TimelineStreams
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.integrations.payfast_sources import parse_networks
from bbws.shared.logging import get_logger
from bbws.shared.sales.order_keys import opens
from bbws.shared.settings import Settings

# Load balancers keep idle connections for 60 s; the side that ends them first must be the load balancer.
KEEPALIVE_TIMEOUT_S = 75.0
SHUTDOWN_TIMEOUT_S = 15.0
_OBJECTS_BETWEEN_COLLECTIONS = 50_000

log = get_logger(__name__)


def create_app(
    settings: Settings,
    services: Services | None = None,
    *,
    routes: Sequence[Route] = ROUTES,
    stream_limits: StreamLimits | None = None,
) -> web.Application:
    """The application; without `services` it makes its own when it starts and closes them when it ends."""
    middlewares = [identify, observe, render_errors, own_hosts_only]
    app = web.Application(middlewares=middlewares, client_max_size=settings.max_body_bytes)
    _configure(app, settings)
    app[METRICS] = Metrics()
    app[RENDERINGS] = SingleFlight(MAX_RENDERINGS, TOO_MANY_RENDERINGS)
    app[BACKGROUND] = Background()
    app[OPENAPI] = openapi_json(tuple(routes), settings.public_base_url)
    add_pages(app)
    _add_routes(app, (*routes, *STOREFRONT))
    app.on_response_prepare.append(protect)
    app.cleanup_ctx.append(_provider(services, settings, stream_limits or StreamLimits()))
    app.cleanup_ctx.append(_unfinished_work)
    app.on_shutdown.append(_end_streams)
    return app


def _add_routes(app: web.Application, routes: Sequence[Route]) -> None:
    app[ROUTES_BY_ID] = {route.operation_id: route for route in routes}
    app[ENDPOINTS] = endpoints = {endpoint(route): route for route in routes}
    for handler, route in endpoints.items():
        app.router.add_route(route.method, route.path, handler)
        if route.method == "GET" and not route.streamed:
            app.router.add_route("HEAD", route.path, handler)


def _configure(app: web.Application, settings: Settings) -> None:
    app[SETTINGS] = settings
    app[TRUSTED_PROXIES] = parse_networks(settings.trusted_proxies)
    app[OWN_NAMES] = host_names(settings.public_base_url, settings.payfast_notify_base_url)


def _provider(
    services: Services | None, settings: Settings, limits: StreamLimits
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def provide(app: web.Application) -> AsyncIterator[None]:
        if services is not None:
            _attach(app, services, limits)
            yield
            return
        async with bootstrap(settings) as own:
            # Only now do they hold what comes from Secrets Manager.
            _configure(app, own.settings)
            _attach(app, own, limits)
            yield

    return provide


def _attach(app: web.Application, services: Services, limits: StreamLimits) -> None:
    app[SERVICES] = services
    app[AUTHORIZER] = Authorizer(
        services.tokens, services.users.role_in, services.operations.get, partial(opens, app[SETTINGS])
    )
    app[DEPENDENCIES] = Dependencies(services.pings)
    app[STREAMS] = TimelineStreams(services.orders.timeline, limits, app[METRICS].open_streams)


async def _unfinished_work(app: web.Application) -> AsyncIterator[None]:
    """It ends after the last request, and before the services that it uses."""
    yield
    await app[BACKGROUND].finish()
    await app[RENDERINGS].close()


async def _end_streams(app: web.Application) -> None:
    await app[STREAMS].close()


def run(settings: Settings, routes: Sequence[Route] = ROUTES) -> None:
    """Serve until SIGINT or SIGTERM; then finish what is being answered, at most `SHUTDOWN_TIMEOUT_S`."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve_until_signal(settings, routes))


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


async def _serve_until_signal(settings: Settings, routes: Sequence[Route]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    app = create_app(settings, routes=routes)
    app.on_startup.append(_spare_collections)
    await serve(app, settings, stop)


async def serve(app: web.Application, settings: Settings, stop: asyncio.Event) -> None:
    """Serve `app` on the settings' host and port until `stop` is set; streams are told to end, requests finish."""
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=KEEPALIVE_TIMEOUT_S, shutdown_timeout=SHUTDOWN_TIMEOUT_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.gateway_host, settings.gateway_port)
        await site.start()
        _announce(app[SETTINGS], _port_of(runner))
        await stop.wait()
        log.info("gateway stops")
    finally:
        await runner.cleanup()


async def _spare_collections(_: web.Application) -> None:
    """What a process holds from its start lives as long as it does, and a list of orders is thousands of objects.

    Left alone, the collector would go through all of them several times for each answer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 10, 10)


def _port_of(runner: web.AppRunner) -> int:
    return int(runner.addresses[0][1])


def _announce(settings: Settings, port: int) -> None:
    host = settings.gateway_host
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    write = log.info if is_loopback(host) else log.warning
    write("gateway listens", url=url, host=host, port=port, note=" ".join(_notes(settings)))


def _notes(settings: Settings) -> Iterator[str]:
    if is_loopback(settings.gateway_host):
        yield "Reachable from this machine only; BBWS_GATEWAY_HOST changes the address."
    else:
        yield "OPEN TO OTHER MACHINES over plain HTTP: tokens can be read on the way unless a proxy in front ends TLS."
    if settings.cognito_user_pool_id is None:
        yield "No user pool is set (BBWS_COGNITO_USER_POOL_ID): operations that need a right answer 503."


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
