"""The queues that topology declares, the table of audit trails, and the services on them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bbws.provision.dynamodb import make_table
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.dynamo.keys import TENANTS
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.operating.dead_letter_queues import DeadLetterQueues
from bbws.shared.operating.dead_letters import DeadLetters
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.shared.operating.support import QUEUE, Queue
from tests.support.emulator import Aws
from tests.support.system import settings_for


@pytest.fixture
def settings(aws: Aws) -> Settings:
    """An emulator knows at once that a queue is empty."""
    return settings_for(aws).model_copy(update={"receive_wait_s": 0})


@pytest_asyncio.fixture
async def services(clients: AwsClients, settings: Settings, topology: Topology) -> AsyncIterator[Services]:
    sqs = await clients.get("sqs")
    for queue in topology.queues:
        for name in (queue.name, queue.dead_letter_name):
            await sqs.create_queue(QueueName=name)
    for rule in topology.rules:
        await sqs.create_queue(QueueName=rule.dead_letter_queue)
    await make_table(clients, topology.table(TENANTS))
    async with bootstrap(settings) as services:
        yield services


@pytest.fixture
def dead_letters(services: Services) -> DeadLetters:
    return services.dead_letters


@pytest.fixture
def queues(dead_letters: DeadLetters) -> DeadLetterQueues:
    return dead_letters.queues


@pytest_asyncio.fixture
async def dead(clients: AwsClients, services: Services) -> Queue:
    return await Queue.named(clients, f"{QUEUE}-dlq")


@pytest_asyncio.fixture
async def source(clients: AwsClients, services: Services) -> Queue:
    return await Queue.named(clients, QUEUE)
