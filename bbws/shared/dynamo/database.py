"""Reads and conditional writes on DynamoDB tables, in plain dictionaries.

Nothing here scans. What is throttled, out of reach or broken on AWS's side raises `Unavailable`; a condition that did
not hold raises what the write says in `conflict`.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from bbws.shared.aws_errors import error_code, reaching
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.dynamo.codec import Item, decode_item, encode, encode_item
from bbws.shared.dynamo.cursor import CursorSigner
from bbws.shared.errors import Conflict, Unavailable

# TransactWriteItems takes at most 100 actions (AWS quota).
MAX_TRANSACTION_ITEMS = 100
# BatchGetItem reads at most 100 items (AWS quota).
MAX_BATCH_ITEMS = 100
# Two transactions that touch the same item at once: one of them is cancelled and simply tried again.
_CONFLICT_TRIES = 12
_CONFLICT_BASE_S = 0.02
_CONFLICT_MAX_S = 0.5

Key = tuple[str, str]
Place = tuple[str, Key]
"""A table, and a key in it."""


class ConditionFailed(Exception):
    """The condition of a write did not hold, and the write named no error of its own."""


@dataclass(frozen=True, slots=True)
class Put:
    """Writes a whole item; by default only where none stands."""

    table: str
    item: Item
    condition: str | None = "attribute_not_exists(PK)"
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    conflict: Exception | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Changes named attributes (None removes one), only where `condition` holds."""

    table: str
    key: Key
    changes: Mapping[str, Any]
    condition: str = "attribute_exists(PK)"
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    conflict: Exception | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes an item, only where `condition` holds; without one also where there is none."""

    table: str
    key: Key
    condition: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    conflict: Exception | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Changes nothing, but lets no transaction through where `condition` does not hold; in transactions alone."""

    table: str
    key: Key
    condition: str = "attribute_exists(PK)"
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    conflict: Exception | None = None


Write = Put | Update | Delete | Check


class Database:
    def __init__(self, client: Callable[[], Awaitable[Any]], cursors: CursorSigner) -> None:
        self._client = client
        self._cursors = cursors

    async def find(self, table: str, key: Key) -> Item | None:
        """The item as it is now (strongly consistent), or None."""
        answer = await self._call("get_item", TableName=table, Key=_key(key), ConsistentRead=True)
        return decode_item(answer["Item"]) if "Item" in answer else None

    async def find_all(self, places: Iterable[Place]) -> dict[Place, Item]:
        """Those of the items that there are, each as it is now, in one call; what is throttled is asked for again."""
        asked: dict[str, Any] = {}
        for table, key in dict.fromkeys(places):
            asked.setdefault(table, {"Keys": [], "ConsistentRead": True})["Keys"].append(_key(key))
        if (count := sum(len(keys["Keys"]) for keys in asked.values())) > MAX_BATCH_ITEMS:
            raise ValueError(f"{count} items: DynamoDB reads {MAX_BATCH_ITEMS} at once")
        found: dict[Place, Item] = {}
        for attempt in range(_CONFLICT_TRIES):
            if not asked:
                return found
            if attempt:
                await _pause(attempt - 1)
            answer = await self._call("batch_get_item", RequestItems=asked)
            items = [(table, decode_item(item)) for table, items in answer["Responses"].items() for item in items]
            found |= {(table, (item["PK"], item["SK"])): item for table, item in items}
            asked = answer.get("UnprocessedKeys")
        if asked:
            raise Unavailable("dynamodb", "throttled")
        return found

    async def write(self, write: Write) -> None:
        """One write. Raises its `conflict`, or ConditionFailed, when the condition does not hold."""
        action, request = _action(write)
        try:
            await self._call(f"{action.lower()}_item", **request)
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            raise write.conflict or ConditionFailed(str(error)) from None

    async def transact(self, writes: Sequence[Write]) -> None:
        """All writes or none.

        Raises the `conflict` of the first write whose condition does not hold, with the field errors of all.
        """
        if len(writes) > MAX_TRANSACTION_ITEMS:
            raise ValueError(f"{len(writes)} writes: DynamoDB takes {MAX_TRANSACTION_ITEMS} in a transaction")
        actions = [dict([_action(write)]) for write in writes]
        for attempt in range(_CONFLICT_TRIES):
            try:
                await self._call("transact_write_items", TransactItems=actions)
            except ClientError as error:
                _raise_conflict(error, writes)
            else:
                return
            await _pause(attempt)
        raise Unavailable("dynamodb", "the same item is being changed by too many at once")

    async def page(
        self,
        table: str,
        page: PageRequest,
        *,
        partition: tuple[str, str],
        index: str | None = None,
        sort_prefix: tuple[str, str] | None = None,
        newest_first: bool = False,
    ) -> Page[Item]:
        """One page of a partition, read in the order of its sort key; consistent unless an index is read."""
        scope = "\0".join([table, index or "", *partition, *(sort_prefix or ())])
        request = _query(table, partition, index, sort_prefix)
        request |= {"Limit": page.limit, "ScanIndexForward": not newest_first}
        if page.cursor:
            request["ExclusiveStartKey"] = encode_item(self._cursors.open(scope, page.cursor))
        answer = await self._call("query", **request)
        last = answer.get("LastEvaluatedKey")
        cursor = self._cursors.seal(scope, decode_item(last)) if last else None
        return Page([decode_item(item) for item in answer["Items"]], cursor)

    async def partition(
        self,
        table: str,
        partition: tuple[str, str],
        *,
        index: str | None = None,
        sort_prefix: tuple[str, str] | None = None,
        up_to: tuple[str, str] | None = None,
    ) -> list[Item]:
        """All items of a partition that is known to be small; `up_to` bounds its sort key from above."""
        pages = self.pages(table, partition, index=index, sort_prefix=sort_prefix, up_to=up_to)
        return [item async for page in pages for item in page]

    async def pages(
        self,
        table: str,
        partition: tuple[str, str],
        *,
        index: str | None = None,
        sort_prefix: tuple[str, str] | None = None,
        up_to: tuple[str, str] | None = None,
    ) -> AsyncIterator[list[Item]]:
        """A partition of any size, in the order of its sort key, as DynamoDB gives it: at most 1 MB at a time."""
        request = _query(table, partition, index, sort_prefix)
        if up_to:
            request["KeyConditionExpression"] += " AND #s <= :s"
            request["ExpressionAttributeNames"]["#s"] = up_to[0]
            request["ExpressionAttributeValues"][":s"] = encode(up_to[1])
        while True:
            answer = await self._call("query", **request)
            yield [decode_item(item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def ping(self, table: str) -> None:
        """Raises Unavailable when the table cannot be read."""
        await self.find(table, ("PING", "PING"))

    async def _call(self, operation: str, **request: Any) -> Any:
        with reaching("dynamodb"):
            return await getattr(await self._client(), operation)(**request)


async def _pause(attempt: int) -> None:
    longest_s = min(_CONFLICT_BASE_S * 2**attempt, _CONFLICT_MAX_S)
    await asyncio.sleep(random.uniform(0, longest_s))  # noqa: S311 - jitter, not a secret


def _key(key: Key) -> dict[str, Any]:
    return encode_item({"PK": key[0], "SK": key[1]})


def _action(write: Write) -> tuple[str, dict[str, Any]]:
    """The name of the write as TransactWriteItems says it, and its request."""
    match write:
        case Put():
            return "Put", _put(write)
        case Update():
            return "Update", _update(write)
        case Delete():
            return "Delete", _keyed(write)
        case Check():
            return "ConditionCheck", _keyed(write)


def _keyed(write: Delete | Check) -> dict[str, Any]:
    condition = _condition(write.condition, write.names, write.values)
    return {"TableName": write.table, "Key": _key(write.key), **condition}


def _put(put: Put) -> dict[str, Any]:
    return {"TableName": put.table, "Item": encode_item(put.item), **_condition(put.condition, put.names, put.values)}


def _update(update: Update) -> dict[str, Any]:
    names = {f"#c{n}": name for n, name in enumerate(update.changes)} | dict(update.names)
    values = {f":c{n}": value for n, value in enumerate(update.changes.values()) if value is not None}
    sets = [f"#c{n} = :c{n}" for n, value in enumerate(update.changes.values()) if value is not None]
    removes = [f"#c{n}" for n, value in enumerate(update.changes.values()) if value is None]
    expression = (f"SET {', '.join(sets)}" if sets else "") + (f" REMOVE {', '.join(removes)}" if removes else "")
    return {
        "TableName": update.table,
        "Key": _key(update.key),
        "UpdateExpression": expression.strip(),
        **_condition(update.condition, names, values | dict(update.values)),
    }


def _condition(condition: str | None, names: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
    if names:
        request["ExpressionAttributeNames"] = dict(names)
    if values:
        request["ExpressionAttributeValues"] = encode_item(values)
    return request


def _query(
    table: str, partition: tuple[str, str], index: str | None, sort_prefix: tuple[str, str] | None
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": "#p = :p",
        "ExpressionAttributeNames": {"#p": partition[0]},
        "ExpressionAttributeValues": {":p": encode(partition[1])},
    }
    if index:
        request["IndexName"] = index
    else:
        request["ConsistentRead"] = True
    if sort_prefix:
        request["KeyConditionExpression"] += " AND begins_with(#s, :s)"
        request["ExpressionAttributeNames"]["#s"] = sort_prefix[0]
        request["ExpressionAttributeValues"][":s"] = encode(sort_prefix[1])
    return request


def _raise_conflict(error: ClientError, writes: Sequence[Write]) -> None:
    """Returns when the transaction only met another one and may be tried again."""
    if error_code(error) in ("TransactionConflictException", "TransactionInProgressException"):
        return
    reasons = [entry.get("Code") for entry in error.response.get("CancellationReasons", ())]
    failed = [write for write, code in zip(writes, reasons, strict=False) if code == "ConditionalCheckFailed"]
    if failed:
        raise _conflict(failed) from None
    if "TransactionConflict" not in reasons:
        if {"ThrottlingError", "ProvisionedThroughputExceeded"} & set(reasons):
            raise Unavailable("dynamodb", "throttled") from error
        raise error


def _conflict(failed: Sequence[Write]) -> Exception:
    first = failed[0].conflict
    if isinstance(first, Conflict):
        errors = [error for write in failed if isinstance(write.conflict, Conflict) for error in write.conflict.errors]
        return Conflict(first.detail, errors)
    return first or ConditionFailed(failed[0].table)
