"""Whether the process lives, whether it can serve, and what it has counted."""

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bbws.gateway.dependencies import OK
from bbws.gateway.keys import DEPENDENCIES, METRICS
from bbws.gateway.problems import RETRY_AFTER_S
from bbws.gateway.responses import json_answer
from bbws.shared.contracts.base import Contract


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
    """200 when every dependency answers, else 503 naming those that do not."""
    dependencies = await request.app[DEPENDENCIES].states()
    ready = all(state == OK for state in dependencies.values())
    answer = Readiness(status="ready" if ready else "unavailable", dependencies=dependencies)
    headers = {} if ready else {"Retry-After": str(RETRY_AFTER_S)}
    return json_answer(answer.model_dump(), status=200 if ready else 503, headers=headers)


async def get_metrics(request: web.Request) -> web.Response:
    body = request.app[METRICS].exposition()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
