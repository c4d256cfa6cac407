"""Fixtures of the services' tests: a market of the test's own, and one that tests share who only add to it."""

import secrets
from collections.abc import AsyncIterator

import pytest_asyncio

from bbws.provision import Provisioner
from bbws.shared.bootstrap import Services, aws_clients, bootstrap
from bbws.shared.topology import Topology
from tests.support.emulator import Aws, Target
from tests.support.market import Market
from tests.support.system import settings_for


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_aws(emulator: Target) -> Aws:
    """A provisioned account for tests that look at nothing but what they made themselves: no faults, no queues."""
    aws = Aws(emulator.endpoint_url, str(10**11 + secrets.randbelow(9 * 10**11)))
    settings = settings_for(aws)
    async with aws_clients(settings) as clients:
        await Provisioner(clients, settings, Topology.for_settings(settings)).apply()
    return aws


@pytest_asyncio.fixture
async def shared_market(shared_aws: Aws) -> AsyncIterator[Market]:
    async with bootstrap(settings_for(shared_aws)) as services:
        yield Market(shared_aws, services)


@pytest_asyncio.fixture
async def market(aws: Aws, services: Services) -> Market:
    """An account of the test's own."""
    return Market(aws, services)
