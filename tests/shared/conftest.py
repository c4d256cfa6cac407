"""DynamoDB alone, for what needs no more: all tables of topology, and a database on them."""

from functools import partial

import pytest_asyncio

from bbws.provision.dynamodb import make_table
from bbws.shared.dynamo.cursor import CursorSigner
from bbws.shared.dynamo.database import Database
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology


@pytest_asyncio.fixture
async def database(settings: Settings, clients: AwsClients) -> Database:
    """The tables `orders` and `idempotency` are there, and keep what has expired (`provision` of tests says why)."""
    topology = Topology.for_settings(settings)
    for name in ("orders", "idempotency"):
        await make_table(clients, topology.table(name).replace(ttl=None))
    return Database(partial(clients.get, "dynamodb"), CursorSigner("a key of this test"))
