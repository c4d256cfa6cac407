"""`/healthz` and `/metrics` of a consumer, where BBWS_CONSUMER_HTTP_PORT asks for them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bbws.shared.settings import Settings
from bbws.shared.sqs import SQSBroker

PING_TIMEOUT_S = 5.0


@asynccontextmanager
async def serve_health(settings: Settings, broker: SQSBroker) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_get("/healthz", _healthz(broker))
    app.router.add_get("/metrics", _metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, settings.gateway_host, settings.consumer_http_port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def _healthz(broker: SQSBroker) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def healthz(_request: web.Request) -> web.Response:
        """200 while SQS answers; a paused subscriber is healthy, it waits for something else."""
        alive = await broker.ping(PING_TIMEOUT_S)
        return web.Response(text="ok" if alive else "SQS does not answer", status=200 if alive else 503)

    return healthz


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
