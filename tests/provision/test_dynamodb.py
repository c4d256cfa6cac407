"""Tables as DynamoDB shows them."""

from typing import Any

import pytest

from bbws.provision.dynamodb import make_table, table_differences
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.topology import Index, Topology

pytestmark = pytest.mark.needs("dynamodb")


async def test_every_table_has_its_keys_and_indexes(clients: AwsClients, topology: Topology) -> None:
    """An index without its sort key finds the same items, in no order: nobody notices before there are many."""
    dynamodb = await clients.get("dynamodb")
    for table in topology.tables:
        await make_table(clients, table)
        described = (await dynamodb.describe_table(TableName=table.name))["Table"]
        assert _keys(described) == [("PK", "HASH"), ("SK", "RANGE")]
        indexes = described.get("GlobalSecondaryIndexes", ())
        assert {each["IndexName"]: _keys(each) for each in indexes} == {i.name: _declared(i) for i in table.indexes}
        assert all(each["Projection"] == {"ProjectionType": "ALL"} for each in indexes)
        assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


async def test_another_sort_key_is_named(clients: AwsClients, topology: Topology) -> None:
    """A table that somebody made by hand looks right by its names alone."""
    table = topology.table("products")
    (index,) = table.indexes
    without = table.model_copy(update={"indexes": (index.model_copy(update={"sort": None}),)})
    await make_table(clients, without)
    (found,) = await table_differences(clients, table)
    assert found == "table products: index ProductActiveIndex is (activeKey), declared (activeKey, dateCreated)"


def _keys(described: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key["AttributeName"], key["KeyType"]) for key in described["KeySchema"]]


def _declared(index: Index) -> list[tuple[str, str]]:
    return [(index.partition, "HASH"), *([(index.sort, "RANGE")] if index.sort else [])]
