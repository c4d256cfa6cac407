"""Fixtures of the services of every area, on an account that the tests of a module share (`support/sharing.py`).

No plugin: the `conftest.py` beside the services of an area takes them, so that they hold below it alone.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bbws.provision.provisioner import Provisioner
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.support.emulator import Aws
from tests.support.market import MovedClock


@pytest.fixture
def aws(aws: Aws, healed_module_aws: Aws, shares_account: bool) -> Aws:
    return healed_module_aws if shares_account else aws


@pytest_asyncio.fixture
async def provisioned(settings: Settings, clients: AwsClients, shares_account: bool) -> Settings:
    if not shares_account:
        await Provisioner(clients, settings, Topology.for_settings(settings)).apply()
    return settings


@pytest.fixture
def clock() -> MovedClock:
    """The clock of `services`, for a test to move."""
    return MovedClock()


@pytest_asyncio.fixture
async def services(provisioned: Settings, clock: MovedClock) -> AsyncIterator[Services]:
    async with bootstrap(provisioned, clock=clock) as built:
        yield built
