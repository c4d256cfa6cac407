"""Liveness, readiness and metrics."""

import asyncio
from functools import partial
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bbws.gateway import dependencies
from bbws.gateway.app import create_app
from bbws.gateway.dependencies import Dependencies
from bbws.shared.errors import Dependency, Ping, Unavailable
from bbws.shared.settings import Settings
from tests.gateway.demo import demo_services
from tests.gateway.support import Api
from tests.support.emulator import Aws
from tests.support.waiting import eventually


async def _fine() -> None:
    return


async def _out() -> None:
    raise Unavailable("s3", "https://10.0.0.7 refused")


async def _silent() -> None:
    await asyncio.Event().wait()


async def _readiness(**pings: Any) -> tuple[int, dict[str, Any]]:
    app = create_app(Settings(), demo_services(**pings))
    async with asyncio.timeout(5), TestClient(TestServer(app)) as client, client.get("/readyz") as response:
        assert response.headers.get("Retry-After") == (None if response.status == 200 else "5")
        return response.status, await response.json()


async def test_ready_when_every_dependency_answers() -> None:
    """A load balancer sends requests on this answer alone."""
    assert await _readiness(dynamodb=_fine, s3=_fine) == (
        200, {"status": "ready", "dependencies": {"dynamodb": "ok", "s3": "ok"}},
    )  # fmt: skip


async def test_readiness_names_what_fails_and_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is woken at night reads here what is out; one silent dependency must not hide the others."""
    monkeypatch.setattr(dependencies, "PING_TIMEOUT_S", 0.1)
    status, answer = await _readiness(dynamodb=_silent, s3=_out, events=_fine)
    assert (status, answer["status"]) == (503, "unavailable")
    assert answer["dependencies"] == {"dynamodb": "no answer within 0.1 s", "s3": "out of reach", "events": "ok"}


async def test_an_outage_of_the_user_pools_api_is_named_and_takes_no_gateway_away() -> None:
    """Customers order without it; a load balancer that lost every gateway would serve nobody."""
    pings: dict[Dependency, Ping] = {"dynamodb": _fine, "cognito-idp": _out}
    assert await _readiness(**pings) == (
        200, {"status": "ready", "dependencies": {"dynamodb": "ok", "cognito-idp": "out of reach"}},
    )  # fmt: skip
    assert (await _readiness(**pings | {"dynamodb": _out}))[0] == 503


async def test_dependencies_are_asked_side_by_side() -> None:
    """One after the other, five that are silent would take longer than a load balancer waits."""
    asked = asyncio.Barrier(3)

    async def ping() -> None:
        await asked.wait()

    assert (await _readiness(dynamodb=ping, s3=ping, events=ping))[0] == 200


class _Dependency:
    """Counts who asks; answers at once, or when it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.out = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ping(self) -> None:
        self.asked += 1
        await self.may_answer.wait()
        if self.out:
            raise Unavailable("s3", "out")


async def test_a_crowd_asks_each_dependency_once() -> None:
    """Anybody may ask: a thousand questions a second must not become a thousand calls to every dependency."""
    s3 = _Dependency()
    states = Dependencies({"s3": s3.ping}, now=lambda: 100.0)
    s3.may_answer.clear()
    crowd = [asyncio.create_task(states.states()) for _ in range(50)]
    await eventually(lambda: s3.asked, what="the first asks")
    s3.may_answer.set()
    assert await asyncio.gather(*crowd, states.states()) == [{"s3": "ok"}] * 51
    assert s3.asked == 1


async def test_failure_and_recovery_show_within_a_second() -> None:
    """A load balancer that is told what was true long ago sends customers into the outage."""
    s3, now_s = _Dependency(), 100.0
    states = Dependencies({"s3": s3.ping}, now=lambda: now_s)
    assert await states.states() == {"s3": "ok"}
    s3.out, now_s = True, 100.9
    assert await states.states() == {"s3": "ok"}
    now_s = 101.0
    assert await states.states() == {"s3": "out of reach"}
    s3.out, now_s = False, 102.0
    assert await states.states() == {"s3": "ok"}


async def test_answer_that_took_long_counts_from_its_question() -> None:
    """What a slow dependency said may be true no more when it arrives; who asks later asks again."""
    s3, now_s = _Dependency(), 100.0
    states = Dependencies({"s3": s3.ping}, now=lambda: now_s)
    s3.may_answer.clear()
    first = asyncio.create_task(states.states())
    await eventually(lambda: s3.asked, what="the first asks")
    now_s = 101.5
    second = asyncio.create_task(states.states())
    s3.may_answer.set()
    await asyncio.gather(first, second)
    assert s3.asked == 2


@pytest.mark.needs("faults")
async def test_readiness_names_the_broken_dependency(api: Api, aws: Aws) -> None:
    """The real pings notice a real outage, one by one, and its end; the process itself stays alive."""

    async def failing() -> set[str]:
        answer = await api.get("/readyz")
        names = {name for name, state in answer.json["dependencies"].items() if state != "ok"}
        assert answer.status == (503 if names else 200)
        return names

    async def fails(service: str) -> bool:
        return await failing() == {service}

    for service in ("dynamodb", "s3", "events"):
        await aws.inject(service)
        await eventually(partial(fails, service), within_s=3, what=f"/readyz names {service} alone")
        assert (await api.get("/healthz")).status == 200
        await aws.heal()

    async def is_ready() -> bool:
        return not await failing()

    await eventually(is_ready, within_s=3, what="/readyz says that all is well")


async def test_metrics_count_by_operation_and_status(api: Api) -> None:
    """Labels are operations, never paths: paths hold ids, and each would be a time series of its own."""
    tenant = await api.a_tenant()
    await api.get(f"/v1.0/tenants/{tenant.id}")
    await api.get("/v1.0/tenants/nobody")
    await api.get("/no/such/thing")
    text = (await api.get("/metrics")).body.decode()
    assert 'bbws_gateway_requests_total{operation="tenant-get",status="200"} 1.0' in text
    assert 'bbws_gateway_requests_total{operation="tenant-get",status="404"} 1.0' in text
    assert 'bbws_gateway_requests_total{operation="unmatched",status="404"} 1.0' in text
    assert 'bbws_gateway_request_duration_seconds_count{operation="tenant-get"} 2.0' in text
    assert "bbws_gateway_requests_in_flight 1.0" in text
    assert tenant.id not in text
