"""What is declared is also used."""

import pytest

from tests.support.market import Market, paid

pytestmark = pytest.mark.needs("dynamodb", "s3", "events", "sns", "sqs", "sesv2", "faults")


async def test_every_index_finds_something(market: Market) -> None:
    """An index whose key nobody writes is empty for ever, and what it was to find is never found."""
    order = await market.order()
    await market.campaign(await market.product())
    await market.services.payments.record(event := paid(order))
    await market.aws.inject("events")
    await market.services.outbox.commit([], [event])
    async with market.aws.client("dynamodb") as dynamodb:
        empty = [
            f"{table.name}.{index.name}"
            for table in market.services.topology.tables
            for index in table.indexes
            if not (await dynamodb.scan(TableName=table.name, IndexName=index.name))["Items"]
        ]
    assert empty == []


async def test_what_says_when_it_expires_lies_where_dynamodb_asks_for_it(market: Market) -> None:
    """Without time to live on its table an item stays for ever: a table that only grows, and personal data in it."""
    await market.services.outbox.commit([], [paid(await market.order())])
    await market.services.idempotency.begin("orders", "key", "fingerprint")
    expiring = set()
    async with market.aws.client("dynamodb") as dynamodb:
        for table in market.services.topology.tables:
            items = (await dynamodb.scan(TableName=table.name))["Items"]
            expiring |= {(table.name, name) for item in items for name in item if name.startswith("expires")}
    assert expiring == {(table.name, table.ttl) for table in market.services.topology.tables if table.ttl}
