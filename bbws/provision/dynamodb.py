"""Tables: made with their indexes, backups and time to live.

Keys and indexes of a table that stands are never changed: that loses data, so it is reported and left to a migration.
"""

from typing import Any

from bbws.provision import requests as aws
from bbws.shared.aws_errors import find_or_none
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.topology import PRIMARY_KEY, Table


async def make_table(clients: AwsClients, table: Table) -> None:
    dynamodb = await clients.get("dynamodb")
    if await find_or_none(dynamodb.describe_table, TableName=table.name) is None:
        await dynamodb.create_table(**aws.table_request(table))
        await dynamodb.get_waiter("table_exists").wait(TableName=table.name, WaiterConfig={"Delay": 1})
    backups = {"PointInTimeRecoveryEnabled": True}
    await dynamodb.update_continuous_backups(TableName=table.name, PointInTimeRecoverySpecification=backups)
    if table.ttl and await _ttl(dynamodb, table) != table.ttl:
        specification = {"Enabled": True, "AttributeName": table.ttl}
        await dynamodb.update_time_to_live(TableName=table.name, TimeToLiveSpecification=specification)


async def table_differences(clients: AwsClients, table: Table) -> list[str]:
    dynamodb = await clients.get("dynamodb")
    described = await find_or_none(dynamodb.describe_table, TableName=table.name)
    if described is None:
        return [f"table {table.name} is missing"]
    found = _index_differences(table, described["Table"].get("GlobalSecondaryIndexes", ()))
    if described["Table"]["KeySchema"] != aws.key_schema(*PRIMARY_KEY):
        found.append(f"its key is {_names(described['Table']['KeySchema'])}, declared (PK, SK)")
    if not await _has_backups(dynamodb, table):
        found.append("point-in-time recovery is off")
    if await _ttl(dynamodb, table) != table.ttl:
        found.append(f"time to live is not on {table.ttl}")
    return [f"table {table.name}: {difference}" for difference in found]


def _index_differences(table: Table, indexes: Any) -> list[str]:
    wanted = {index.name: aws.key_schema(index.partition, index.sort) for index in table.indexes}
    standing = {index["IndexName"]: index["KeySchema"] for index in indexes}
    return [
        f"index {name} is {_names(standing.get(name))}, declared {_names(wanted.get(name))}"
        for name in sorted(wanted.keys() | standing.keys())
        if wanted.get(name) != standing.get(name)
    ]


async def _has_backups(dynamodb: Any, table: Table) -> bool:
    answer = await dynamodb.describe_continuous_backups(TableName=table.name)
    recovery = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    return bool(recovery.get("PointInTimeRecoveryStatus") == "ENABLED")


async def _ttl(dynamodb: Any, table: Table) -> str | None:
    described = (await dynamodb.describe_time_to_live(TableName=table.name))["TimeToLiveDescription"]
    return described.get("AttributeName") if described["TimeToLiveStatus"] in ("ENABLED", "ENABLING") else None


def _names(schema: list[dict[str, str]] | None) -> str:
    return "(" + ", ".join(key["AttributeName"] for key in schema) + ")" if schema else "absent"
