"""What DynamoDB answers in earnest and the emulator does not: copies that lag, transactions that are cancelled."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bbws.shared.contracts.pages import PageRequest
from bbws.shared.dynamo.cursor import CursorSigner
from bbws.shared.dynamo.database import MAX_TRANSACTION_ITEMS, Database, Put
from bbws.shared.dynamo.keys import ORDERS
from bbws.shared.errors import Unavailable
from tests.support.scripted import Answer, Scripted, cancelled, refusal

DONE: Answer = {}
NOTHING: Answer = {"Items": []}
PARTITION = ("PK", "TENANT#1")


class Taken(Exception):
    pass


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two tries."""
    monkeypatch.setattr(random, "uniform", lambda *_: 0)


def _database(dynamodb: Scripted) -> Database:
    return Database(dynamodb, CursorSigner("a key of this test"))


def _put(key: str, conflict: Exception | None = None) -> Put:
    return Put(ORDERS, {"PK": key, "SK": "A"}, conflict=conflict)


async def _transact(dynamodb: Scripted, writes: int = 2) -> None:
    async with asyncio.timeout(5):
        await _database(dynamodb).transact([_put(f"{n}", Taken(f"{n}")) for n in range(writes)])


async def _pages(database: Database, **query: Any) -> None:
    async for _ in database.pages(ORDERS, PARTITION, **query):
        pass


@pytest.mark.parametrize(
    "read",
    [
        lambda database: database.find(ORDERS, ("TENANT#1", "A")),
        lambda database: database.page(ORDERS, PageRequest(), partition=PARTITION),
        lambda database: database.partition(ORDERS, PARTITION, sort_prefix=("SK", "ORDER#")),
        _pages,
    ],
    ids=["find", "page", "partition", "pages"],
)
async def test_tables_are_read_as_they_are_now(read: Callable[[Database], Awaitable[Any]]) -> None:
    """A copy that lags shows a customer the order before their payment, and lets a service decide on it."""
    dynamodb = Scripted(NOTHING)
    await read(_database(dynamodb))
    ((_, request),) = dynamodb.asked
    assert request["ConsistentRead"] is True


@pytest.mark.parametrize(
    "read",
    [
        lambda database: database.page(ORDERS, PageRequest(), partition=("status", "PAID"), index="OrderStatusIndex"),
        lambda database: _pages(database, index="DueIndex"),
    ],
    ids=["page", "pages"],
)
async def test_indexes_are_read_as_dynamodb_offers_them(read: Callable[[Database], Awaitable[Any]]) -> None:
    """It refuses a consistent read of an index, and every list that stands on one would be an error."""
    dynamodb = Scripted(NOTHING)
    await read(_database(dynamodb))
    ((_, request),) = dynamodb.asked
    assert not request.get("ConsistentRead")


@pytest.mark.parametrize(
    "met",
    [
        refusal("TransactionConflictException"),
        refusal("TransactionInProgressException"),
        cancelled("None", "TransactionConflict"),
    ],
    ids=["conflict", "in progress", "cancelled"],
)
async def test_a_transaction_that_met_another_is_tried_again_however_that_is_said(met: ClientError) -> None:
    """DynamoDB has three ways to say it; none of them is anybody's fault, so nobody should hear of it."""
    dynamodb = Scripted(met, met, met, met, DONE)
    await _transact(dynamodb)
    assert dynamodb.operations == ["transact_write_items"] * 5


async def test_a_transaction_that_meets_others_without_end_is_told_as_unavailable() -> None:
    """Whoever is told nothing believes that it was stored: an order that is not there, and its answer is 201."""
    dynamodb = Scripted(refusal("TransactionConflictException"))
    with pytest.raises(Unavailable, match="dynamodb"):
        await _transact(dynamodb)
    assert len(dynamodb.asked) > 5, "two at once are no reason to give up"


async def test_a_condition_that_failed_is_told_even_where_another_transaction_was_met() -> None:
    """Trying again cannot help: the name is taken."""
    dynamodb = Scripted(cancelled("TransactionConflict", "ConditionalCheckFailed"), DONE)
    with pytest.raises(Taken, match="1"):
        await _transact(dynamodb)
    assert len(dynamodb.asked) == 1


@pytest.mark.parametrize("reason", ["ThrottlingError", "ProvisionedThroughputExceeded"])
async def test_a_transaction_that_is_throttled_is_unavailable(reason: str) -> None:
    """The code of the whole answer says only that it was cancelled: read alone it would go to the dead letters."""
    with pytest.raises(Unavailable, match="throttled"):
        await _transact(Scripted(cancelled("None", reason)))


async def test_a_transaction_that_can_never_work_is_not_tried_again() -> None:
    """An item that is too large is a mistake of ours; as an outage it would come back for ever."""
    dynamodb = Scripted(cancelled("ValidationError", "None"))
    with pytest.raises(ClientError, match="TransactionCanceled"):
        await _transact(dynamodb)
    assert len(dynamodb.asked) == 1


async def test_a_transaction_may_be_as_large_as_aws_takes_it() -> None:
    """The sealer fills them to the brim after an outage."""
    dynamodb = Scripted(DONE)
    await _transact(dynamodb, MAX_TRANSACTION_ITEMS)
    ((_, request),) = dynamodb.asked
    assert len(request["TransactItems"]) == 100


def _stored(key: str) -> Answer:
    return {"PK": {"S": key}, "SK": {"S": "A"}}


async def test_what_a_batch_left_out_is_asked_for_again() -> None:
    """DynamoDB answers in part when it is throttled or the answer gets too large: no item is missing for that."""
    rest = {ORDERS: {"Keys": [_stored("2")], "ConsistentRead": True}}
    first = {"Responses": {ORDERS: [_stored("1")]}, "UnprocessedKeys": rest}
    dynamodb = Scripted(first, {"Responses": {ORDERS: [_stored("2")]}, "UnprocessedKeys": {}})
    places = [(ORDERS, ("1", "A")), (ORDERS, ("2", "A")), (ORDERS, ("2", "A")), (ORDERS, ("3", "A"))]
    found = await _database(dynamodb).find_all(places)
    assert found == {place: {"PK": place[1][0], "SK": "A"} for place in places[:3]}
    (_, asked), (_, again) = dynamodb.asked
    # DynamoDB refuses a batch that names an item twice.
    assert asked["RequestItems"] == {
        ORDERS: {"Keys": [_stored("1"), _stored("2"), _stored("3")], "ConsistentRead": True}
    }
    assert again["RequestItems"] == rest


async def test_a_batch_that_is_left_out_without_end_is_unavailable() -> None:
    """A product that could not be read is not one that is not on sale."""
    rest = {ORDERS: {"Keys": [_stored("1")]}}
    dynamodb = Scripted({"Responses": {}, "UnprocessedKeys": rest})
    with pytest.raises(Unavailable, match="throttled"):
        await _database(dynamodb).find_all([(ORDERS, ("1", "A"))])


async def test_nothing_is_asked_for_nothing() -> None:
    """DynamoDB refuses an empty batch, and one of more than a hundred."""
    dynamodb = Scripted(DONE)
    assert await _database(dynamodb).find_all([]) == {}
    with pytest.raises(ValueError, match="101 items"):
        await _database(dynamodb).find_all([(ORDERS, (f"{n}", "A")) for n in range(101)])
    assert dynamodb.asked == []
