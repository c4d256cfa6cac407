"""`DueIndex`: what somebody has to take up at a moment, spread over partitions so that a busy moment is not one
partition."""

import zlib
from datetime import datetime

from bbws.shared.clock import iso
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database

INDEX = "DueIndex"


def shard_of(kind: str, identity: str, shards: int) -> str:
    """The partition, `{kind}#{n}`, that this thing always waits in."""
    return f"{kind}#{zlib.crc32(identity.encode()) % shards}"


async def list_due(database: Database, table: str, kind: str, shards: int, now: datetime) -> list[Item]:
    """Everything of the kind that is due, the oldest of each partition first."""
    due: list[Item] = []
    for shard in range(shards):
        partition = ("dueKey", f"{kind}#{shard}")
        due += await database.partition(table, partition, index=INDEX, up_to=("dueAt", iso(now)))
    return due
