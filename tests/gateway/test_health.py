"""Liveness, readiness and metrics."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bbws.gateway import health
from bbws.gateway.app import create_app
from bbws.shared.errors import Unavailable
from bbws.shared.settings import Settings
from tests.gateway.demo import demo_services
from tests.gateway.support import Api
from tests.support.emulator import Aws


async def _fine() -> None:
    return


async def _out() -> None:
    raise Unavailable("s3", "https://10.0.0.7 refused")


async def _silent() -> None:
    await asyncio.Event().wait()


async def _readiness(**pings: Any) -> tuple[int, dict[str, Any]]:
    app = create_app(Settings(), demo_services(**pings))
    async with asyncio.timeout(5), TestClient(TestServer(app)) as client, client.get("/readyz") as response:
        return response.status, await response.json()


async def test_ready_when_every_dependency_answers() -> None:
    """A load balancer sends requests on this answer alone."""
    assert await _readiness(dynamodb=_fine, s3=_fine) == (
        200, {"status": "ready", "dependencies": {"dynamodb": "ok", "s3": "ok"}},
    )  # fmt: skip


async def test_readiness_names_what_fails_and_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is woken at night reads here what is out; one silent dependency must not hide the others."""
    monkeypatch.setattr(health, "PING_TIMEOUT_S", 0.1)
    status, answer = await _readiness(dynamodb=_silent, s3=_out, events=_fine)
    assert (status, answer["status"]) == (503, "unavailable")
    assert answer["dependencies"] == {"dynamodb": "no answer within 0.1 s", "s3": "out of reach", "events": "ok"}


@pytest.mark.needs("faults")
async def test_readiness_names_the_broken_dependency(api: Api, aws: Aws) -> None:
    """The real pings notice a real outage, one by one, and its end; the process itself stays alive."""
    for service in ("dynamodb", "s3", "events"):
        await aws.inject(service)
        answer = await api.get("/readyz")
        failing = {name for name, state in answer.json["dependencies"].items() if state != "ok"}
        assert (answer.status, failing) == (503, {service})
        assert (await api.get("/healthz")).status == 200
        await aws.heal()
    assert (await api.get("/readyz")).status == 200


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
