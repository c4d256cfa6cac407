"""Services on an account that the tests of a module share (`support/sharing.py`)."""

import pytest
import pytest_asyncio

from bbws.provision import Provisioner
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.support.emulator import Aws


@pytest.fixture
def aws(aws: Aws, healed_module_aws: Aws, shares_account: bool) -> Aws:
    return healed_module_aws if shares_account else aws


@pytest_asyncio.fixture
async def provisioned(settings: Settings, clients: AwsClients, shares_account: bool) -> Settings:
    if not shares_account:
        await Provisioner(clients, settings, Topology.for_settings(settings)).apply()
    return settings
