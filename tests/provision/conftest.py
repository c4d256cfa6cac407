"""The provisioner on an account that differs in nothing from what topology declares."""

import pytest
import pytest_asyncio

from bbws.provision.provisioner import Provisioner
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.support.emulator import Aws
from tests.support.system import let_expire


@pytest_asyncio.fixture
async def provisioned(provisioned: Settings, aws: Aws) -> Settings:
    await let_expire(aws)
    return provisioned


@pytest.fixture
def provisioner(clients: AwsClients, provisioned: Settings, topology: Topology) -> Provisioner:
    return Provisioner(clients, provisioned, topology)
