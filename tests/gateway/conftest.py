"""The gateway over real HTTP: with demonstration routes and nothing behind them, and whole (`support/sharing.py`)."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from botocore.exceptions import ClientError

from bbws.gateway.app import create_app
from bbws.gateway.streams import StreamLimits
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.cognito import find_pool_id
from bbws.shared.settings import Settings
from tests.gateway.demo import ROUTES as DEMO_ROUTES
from tests.gateway.demo import demo_services
from tests.gateway.support import Api
from tests.support.emulator import Aws, Target
from tests.support.identity import Identity
from tests.support.system import provision

FAST_STREAMS = StreamLimits(poll_s=0.05, heartbeat_s=0.2, max_open_s=20, max_streams=3)


@pytest.fixture
def aws(aws: Aws, healed_module_aws: Aws, shares_account: bool) -> Aws:
    return healed_module_aws if shares_account else aws


@pytest.fixture
def settings(aws: Aws, shared_identity: Identity) -> Settings:
    return Settings(
        aws_endpoint_url=aws.endpoint_url,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
        bucket_suffix=f"-{aws.access_key_id}",
        mail_transport="sesv2",
        payfast_source_ranges="127.0.0.0/8,203.0.113.0/24",
        payfast_source_hosts="",
        # Nobody listens there: an ITN stays UNVERIFIED, which the gateway must not mind.
        payfast_url="http://127.0.0.1:9",
        trusted_proxies="127.0.0.1/32",
        pdf_processes=1,
        **shared_identity.settings(),
    )


@pytest_asyncio.fixture
async def provisioned(settings: Settings, aws: Aws, emulator: Target, shares_account: bool) -> Settings:
    if not shares_account:
        await provision(aws, emulator)
    return settings


@pytest_asyncio.fixture
async def services(provisioned: Settings, clients: AwsClients) -> AsyncIterator[Services]:
    """All services. Users live in the account's own pool, while tokens come from the one that tests sign for."""
    async with bootstrap(provisioned) as built:
        with suppress(ClientError):
            declared = built.topology.user_pool
            built.directory._pool_id = await find_pool_id(await clients.get("cognito-idp"), declared.name)
        yield built


@pytest_asyncio.fixture
async def api(settings: Settings, services: Services, shared_identity: Identity) -> AsyncIterator[Api]:
    app = create_app(settings, services, stream_limits=FAST_STREAMS)
    async with TestClient(TestServer(app)) as client:
        yield Api(client, services, shared_identity, shared_identity.bearer("Operator"))


@pytest_asyncio.fixture
async def demo() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = create_app(Settings(max_body_bytes=4096), demo_services(), routes=DEMO_ROUTES)
    async with TestClient(TestServer(app)) as client:
        yield client
