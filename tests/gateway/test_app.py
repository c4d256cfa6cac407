"""Starting, announcing, serving and stopping."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from bbws.gateway.app import create_app, is_loopback, serve
from bbws.gateway.keys import SETTINGS
from bbws.shared.settings import Settings
from tests.gateway.demo import ROUTES, demo_services
from tests.support.emulator import Aws
from tests.support.waiting import eventually


@contextlib.asynccontextmanager
async def _served(host: str) -> AsyncIterator[list[dict[str, object]]]:
    settings = Settings(gateway_host=host, gateway_port=0)
    stop = asyncio.Event()
    with capture_logs() as logs:
        serving = asyncio.create_task(serve(create_app(settings, demo_services(), routes=ROUTES), settings, stop))
        await eventually(lambda: any(line["event"] == "gateway listens" for line in logs), what="the announcement")
        yield logs  # type: ignore[misc]
        stop.set()
        async with asyncio.timeout(5):
            await serving


async def test_loopback_is_announced_with_its_reason() -> None:
    """Whoever cannot reach the gateway from elsewhere reads why, and which setting changes it."""
    async with _served("127.0.0.1") as logs:
        (line,) = [line for line in logs if line["event"] == "gateway listens"]
    assert line["log_level"] == "info"
    assert "BBWS_GATEWAY_HOST" in str(line["note"])
    assert "BBWS_COGNITO_USER_POOL_ID" in str(line["note"])
    assert str(line["url"]).startswith("http://127.0.0.1:")
    assert not str(line["url"]).endswith(":0")


async def test_other_addresses_are_warned_about() -> None:
    """Whoever listens on the way reads tokens, and with them every customer: that must not happen quietly."""
    async with _served("0.0.0.0") as logs:
        (line,) = [line for line in logs if line["event"] == "gateway listens"]
    assert line["log_level"] == "warning"
    assert "OPEN TO OTHER MACHINES" in str(line["note"])


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_addresses_are_known(host: str, expected: bool) -> None:
    """A wrong guess would hide the warning."""
    assert is_loopback(host) is expected


async def test_process_finishes_the_request_and_stops_on_sigterm(aws: Aws) -> None:
    """A deploy cuts nobody off: what is being answered is answered, then the process ends with 0."""
    environment = os.environ | {
        "BBWS_GATEWAY_PORT": "0",
        "BBWS_LOG_FORMAT": "json",
        "BBWS_AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_ACCESS_KEY_ID": aws.access_key_id,
        "AWS_SECRET_ACCESS_KEY": aws.secret_access_key,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bbws", "gateway", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        url = await _url_of(process)
        await aws.inject("dynamodb", status=503, latency_ms=700)
        async with aiohttp.ClientSession() as session:
            answering = asyncio.create_task(_status(session, f"{url}/readyz"))
            await eventually(lambda: _calls(aws), what="the request reached the table")
            process.send_signal(signal.SIGTERM)
            assert await answering == 503
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _url_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while line := (await process.stdout.readline()).decode():
            if (entry := orjson.loads(line))["event"] == "gateway listens":
                return str(entry["url"])
    raise AssertionError("the gateway never said that it listens")


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        return response.status


async def _calls(aws: Aws) -> int:
    return await aws.calls("dynamodb")


async def test_foreign_names_of_this_machine_are_refused() -> None:
    """A site that points its own name at us would read customers' orders as if they were its own pages."""
    settings = Settings(
        public_base_url="https://shop.bbws.example", payfast_notify_base_url="http://gateway:8080", trusted_proxies=""
    )
    async with TestClient(TestServer(create_app(settings, demo_services()))) as client:
        for host in ("rebound.evil.example", "shop.bbws.example.evil.example:443", "x y"):
            async with client.get("/openapi.json", headers={"Host": host}) as refused:
                problem = await refused.json(content_type="application/problem+json")
                assert (host, refused.status, problem["title"]) == (host, 421, "Misdirected Request")
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await client.get(path, headers={"Host": host})).status == 200
        for host in ("shop.bbws.example", "gateway:8080", "localhost:1", "10.0.0.7:8080"):
            assert (await client.get("/openapi.json", headers={"Host": host})).status == 200


@pytest.mark.needs("secretsmanager")
async def test_running_gateway_uses_what_the_secret_holds(aws: Aws) -> None:
    """Form tokens would otherwise be signed with the key from the source code, which everybody can read."""
    async with aws.client("secretsmanager") as manager:
        await manager.create_secret(
            Name="bbws", SecretString=orjson.dumps({"token_signing_key": "of its own"}).decode()
        )
    settings = Settings(
        aws_endpoint_url=aws.endpoint_url,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
        secrets_name="bbws",
    )
    app = create_app(settings)
    async with TestServer(app):
        assert app[SETTINGS].token_signing_key.get_secret_value() == "of its own"
