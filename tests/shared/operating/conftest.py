"""The dead letters of an account, whose queues say at once that they are empty."""

import pytest
import pytest_asyncio

from bbws.shared.bootstrap import Services
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.operating.dead_letter_queues import DeadLetterQueues
from bbws.shared.operating.dead_letters import DeadLetters
from bbws.shared.settings import Settings
from tests.shared.operating.support import QUEUE, Queue
from tests.support.emulator import Aws
from tests.support.system import settings_for


@pytest.fixture
def settings(aws: Aws) -> Settings:
    """An emulator need not be waited for, as AWS must be."""
    return settings_for(aws).model_copy(update={"receive_wait_s": 0})


@pytest.fixture
def dead_letters(services: Services) -> DeadLetters:
    return services.dead_letters


@pytest.fixture
def queues(dead_letters: DeadLetters) -> DeadLetterQueues:
    return dead_letters.queues


@pytest_asyncio.fixture
async def dead(clients: AwsClients, provisioned: Settings) -> Queue:
    return await Queue.named(clients, f"{QUEUE}-dlq")


@pytest_asyncio.fixture
async def source(clients: AwsClients, provisioned: Settings) -> Queue:
    return await Queue.named(clients, QUEUE)
