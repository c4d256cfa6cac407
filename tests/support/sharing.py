"""Fixtures: one provisioned account for all tests of a module that look at nothing but what they made themselves.

A directory joins by fixtures `aws` and `provisioned` of its own that follow `shares_account`. Tests that take `aws`,
or are marked `own_account`, have an account of their own all the same.
"""

import inspect
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.emulator import Aws, Target
from tests.support.system import provisioned_account


@pytest.fixture
def shares_account(request: pytest.FixtureRequest) -> bool:
    takes_aws = "aws" in inspect.signature(request.function).parameters
    return not takes_aws and request.node.get_closest_marker("own_account") is None


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def module_aws(emulator: Target) -> Aws:
    """Of a module, not of the session: which modules meet in a process is left to chance."""
    return await provisioned_account(emulator)


@pytest_asyncio.fixture
async def healed_module_aws(module_aws: Aws, emulator: Target) -> AsyncIterator[Aws]:
    """Whatever faults a test injects end with it."""
    yield module_aws
    if await emulator.missing("faults") is None:
        await module_aws.heal()
