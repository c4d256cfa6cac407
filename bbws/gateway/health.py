"""Whether the process lives, whether it can serve, and what it has counted."""

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from bbws.gateway.dependencies import can_serve
from bbws.gateway.keys import DEPENDENCIES, METRICS
from bbws.gateway.problems import RETRY_AFTER_S
from bbws.gateway.responses import json_answer
from bbws.gateway.route import Answer, Route
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
    """200 when every dependency answers but for those that we serve without; each is named with its state."""
    states = await request.app[DEPENDENCIES].states()
    ready = can_serve(states)
    answer = Readiness(status="ready" if ready else "unavailable", dependencies=dict(states))
    headers = {} if ready else {"Retry-After": str(RETRY_AFTER_S)}
    return json_answer(answer.model_dump(), status=200 if ready else 503, headers=headers)


async def get_metrics(request: web.Request) -> web.Response:
    body = request.app[METRICS].exposition()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/healthz",
        operation_id="health-get",
        handler=get_health,
        summary="Does the process live?",
        tag="operation",
        access="public",
        answers={200: Answer("It does", Health)},
    ),
    Route(
        method="GET",
        path="/readyz",
        operation_id="ready-get",
        handler=get_readiness,
        summary="Can it serve?",
        tag="operation",
        access="public",
        description=(
            "Asks every dependency, each for at most two seconds and once a second, however many ask. The API of the "
            "user pool (`cognito-idp`) is named too, and does not count: without it only invitations and mailed links "
            "have to wait."
        ),
        answers={200: Answer("It can", Readiness), 503: Answer("It cannot; see why", Readiness)},
    ),
    Route(
        method="GET",
        path="/metrics",
        operation_id="metrics-get",
        handler=get_metrics,
        summary="Metrics for Prometheus",
        tag="operation",
        access="public",
        answers={200: Answer("The metrics", media=("text/plain",))},
    ),
)
