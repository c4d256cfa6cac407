"""Fixtures of the services of every area, on an account that the tests of a module share (`support/sharing.py`).

No plugin: the `conftest.py` beside the services of an area takes them, so that they hold below it alone.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.settings import Settings
from tests.support.emulator import Aws, Target
from tests.support.market import MovedClock
from tests.support.system import provision


@pytest.fixture
def aws(aws: Aws, healed_module_aws: Aws, shares_account: bool) -> Aws:
    return healed_module_aws if shares_account else aws


@pytest_asyncio.fixture
async def provisioned(settings: Settings, aws: Aws, emulator: Target, shares_account: bool) -> Settings:
    if not shares_account:
        await provision(aws, emulator)
    return settings


@pytest.fixture
def clock() -> MovedClock:
    """The clock of `services`, for a test to move."""
    return MovedClock()


@pytest_asyncio.fixture
async def services(provisioned: Settings, clock: MovedClock) -> AsyncIterator[Services]:
    async with bootstrap(provisioned, clock=clock) as built:
        yield built
