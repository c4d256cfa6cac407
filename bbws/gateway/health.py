"""Whether the process lives, whether it can serve, and what it has counted."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bbws.gateway.keys import METRICS, services
from bbws.gateway.problems import RETRY_AFTER_S
from bbws.gateway.responses import json_answer
from bbws.shared.contracts.base import Contract
from bbws.shared.errors import Unavailable
from bbws.shared.logging import get_logger

PING_TIMEOUT_S = 2.0
_log = get_logger(__name__)


class Health(Contract):
    status: str


class Readiness(Contract):
    """`dependencies` says for each of them `ok` or what is wrong."""

    status: str
    dependencies: dict[str, str]


async def get_health(request: web.Request) -> web.Response:  # noqa: ARG001
    """The process answers; nothing else is asked, so that an outage elsewhere restarts nobody."""
    return json_answer(Health(status="ok").model_dump())


async def get_readiness(request: web.Request) -> web.Response:
    """200 when every dependency answers within `PING_TIMEOUT_S`, else 503 naming those that do not."""
    pings = services(request).pings
    states = await asyncio.gather(*(_state(name, ping) for name, ping in pings.items()))
    dependencies = dict(zip(pings, states, strict=True))
    ready = all(state == "ok" for state in states)
    answer = Readiness(status="ready" if ready else "unavailable", dependencies=dependencies)
    headers = {} if ready else {"Retry-After": str(RETRY_AFTER_S)}
    return json_answer(answer.model_dump(), status=200 if ready else 503, headers=headers)


async def _state(name: str, ping: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            await ping()
    except TimeoutError:
        return f"no answer within {PING_TIMEOUT_S:g} s"
    except Unavailable as error:
        _log.warning("ready.unavailable", dependency=name, reason=str(error))
        return "out of reach"
    return "ok"


async def get_metrics(request: web.Request) -> web.Response:
    body = request.app[METRICS].exposition()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
