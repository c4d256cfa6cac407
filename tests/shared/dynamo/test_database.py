"""The database against a real DynamoDB API: conditions, transactions, pages, outages."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

import bbws
from bbws.shared.bootstrap import aws_clients
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.cursor import CursorSigner
from bbws.shared.dynamo.database import MAX_TRANSACTION_ITEMS, ConditionFailed, Database, Put, Update
from bbws.shared.dynamo.keys import ORDERS
from bbws.shared.errors import BadRequest, Unavailable
from bbws.shared.settings import Settings
from tests.support.emulator import Aws

pytestmark = pytest.mark.needs("dynamodb")
COUNTER = ("COUNTER", "COUNTER")


class FirstTaken(Exception):
    pass


class SecondTaken(Exception):
    pass


def _put(key: str, sort: str = "A", **more: Any) -> Put:
    conflict = more.pop("conflict", None)
    return Put(ORDERS, {"PK": key, "SK": sort, **more}, conflict=conflict)


async def test_an_item_is_read_as_it_was_written(database: Database) -> None:
    """Nested values, bytes and None included: this is what repositories rely on."""
    item: Item = {
        "PK": "a",
        "SK": "b",
        "cents": 1,
        "deep": {"list": [1, None, {"x": True}]},
        "raw": b"\x00\xff",
        "no": None,
    }
    await database.write(Put(ORDERS, item))
    assert await database.find(ORDERS, ("a", "b")) == item
    assert await database.find(ORDERS, ("a", "c")) is None


async def test_several_items_are_read_at_once(database: Database) -> None:
    """An order needs its tenant, its products and its campaign: one call, as they are now."""
    await database.write(_put("a", who="order"))
    await database.write(_put("b", raw=b"\x00\xff"))
    here, there, nowhere = [(ORDERS, (key, "A")) for key in "abc"]
    found = await database.find_all([here, there, nowhere])
    assert found.keys() == {here, there}
    assert (found[here]["who"], found[there]["raw"]) == ("order", b"\x00\xff")


async def test_a_put_does_not_overwrite_and_says_so_in_its_own_words(database: Database) -> None:
    """Two customers who take one name at once: the second is told, the first keeps it."""
    await database.write(_put("name", who="first"))
    with pytest.raises(FirstTaken):
        await database.write(_put("name", who="second", conflict=FirstTaken()))
    with pytest.raises(ConditionFailed):
        await database.write(_put("name", who="third"))
    assert (await database.find(ORDERS, ("name", "A")) or {})["who"] == "first"


async def test_an_update_changes_and_removes_where_its_condition_holds(database: Database) -> None:
    """Optimistic locking and sparse indexes both stand on it; `status` and `name` are reserved words."""
    await database.write(_put("o", status="NEW", dueKey="x", name="n"))
    change = Update(
        ORDERS,
        ("o", "A"),
        {"status": "PAID", "dueKey": None, "name": "m"},
        condition="#s = :old",
        names={"#s": "status"},
        values={":old": "NEW"},
        conflict=FirstTaken(),
    )
    await database.write(change)
    assert await database.find(ORDERS, ("o", "A")) == {"PK": "o", "SK": "A", "status": "PAID", "name": "m"}
    with pytest.raises(FirstTaken):
        await database.write(change)


async def test_an_update_makes_no_item(database: Database) -> None:
    """An update of what was deleted meanwhile would leave a torso behind."""
    with pytest.raises(ConditionFailed):
        await database.write(Update(ORDERS, ("nobody", "A"), {"x": 1}))
    assert await database.find(ORDERS, ("nobody", "A")) is None


async def test_a_transaction_is_all_or_nothing_and_names_its_first_conflict(database: Database) -> None:
    """The caller tells `name taken` from `number taken` by it."""
    await database.write(_put("taken-1"))
    await database.write(_put("taken-2"))
    writes = [_put("free"), _put("taken-2", conflict=SecondTaken()), _put("taken-1", conflict=FirstTaken())]
    with pytest.raises(SecondTaken):
        await database.transact(writes)
    with pytest.raises(FirstTaken):
        await database.transact([writes[0], writes[2]])
    with pytest.raises(ConditionFailed, match="orders"):
        await database.transact([_put("taken-1")])
    assert await database.find(ORDERS, ("free", "A")) is None


async def test_a_transaction_that_met_another_is_tried_again(aws: Aws, database: Database) -> None:
    """DynamoDB cancels one of two that touch the same item; nobody should hear of that."""
    await aws.inject(
        "dynamodb", operation="TransactWriteItems", status=400, code="TransactionConflictException", times=3
    )
    await database.transact([_put("a"), _put("b")])
    assert await database.find(ORDERS, ("b", "A"))


async def test_too_large_a_transaction_is_refused_before_it_is_sent(aws: Aws, database: Database) -> None:
    """AWS takes 100 actions; the error must name the number, not a validation text of botocore."""
    with pytest.raises(ValueError, match="101 writes"):
        await database.transact([_put(str(n)) for n in range(MAX_TRANSACTION_ITEMS + 1)])
    assert await aws.calls("dynamodb", "TransactWriteItems") == 0


async def test_fifty_parallel_transactions_count_exactly_once_each(database: Database) -> None:
    """The invoice series: no number twice, none missing, however many come at once."""
    await database.write(Put(ORDERS, {"PK": COUNTER[0], "SK": COUNTER[1], "last": 0}))
    at_once = asyncio.Semaphore(10)
    serials = await asyncio.gather(*(_count_up(database, who, at_once) for who in range(50)))
    assert sorted(serials) == list(range(1, 51))
    assert (await database.find(ORDERS, COUNTER) or {})["last"] == 50
    rows = await database.partition(ORDERS, ("PK", "COUNTED"))
    assert sorted((row["serial"], row["who"]) for row in rows) == sorted(zip(serials, range(50), strict=True))


async def _count_up(database: Database, who: int, at_once: asyncio.Semaphore) -> int:
    async with at_once:
        return await _counted(database, who)


async def _counted(database: Database, who: int) -> int:
    while True:
        last: int = (await database.find(ORDERS, COUNTER) or {})["last"]
        taken = Update(
            ORDERS,
            COUNTER,
            {"last": last + 1},
            condition="#l = :l",
            names={"#l": "last"},
            values={":l": last},
            conflict=FirstTaken(),
        )
        try:
            await database.transact([taken, _put("COUNTED", f"{who:03d}", who=who, serial=last + 1)])
        except FirstTaken:
            continue
        return last + 1


async def test_pages_show_every_item_once_and_never_scan(aws: Aws, database: Database) -> None:
    """Through a table and through an index, in both directions; a scan would read all tenants' items."""
    for start in range(0, 25, 5):
        await database.transact([_row(n) for n in range(start, start + 5)])
    table = await _pages(database, partition=("PK", "LIST"), sort_prefix=("SK", "ORDER#"))
    index = await _pages(database, partition=("status", "NEW"), index="OrderStatusIndex", newest_first=True)
    assert [len(page.items) for page in table] == [10, 10, 5]
    assert [item["n"] for page in table for item in page.items] == list(range(25))
    assert [item["n"] for page in index for item in page.items] == list(reversed(range(25)))
    due = await database.partition(ORDERS, ("status", "NEW"), index="OrderStatusIndex", up_to=("statusSort", "004"))
    assert [item["n"] for item in due] == [0, 1, 2, 3, 4]
    assert await aws.calls("dynamodb", "Scan") == 0


async def test_a_cursor_opens_no_other_list(database: Database) -> None:
    """A tenant's cursor in another tenant's list must not show that one's orders."""
    await database.transact([_row(n) for n in range(3)])
    first = await database.page(ORDERS, PageRequest(limit=2), partition=("PK", "LIST"))
    with pytest.raises(BadRequest):
        await database.page(ORDERS, PageRequest(limit=2, cursor=first.next_cursor), partition=("PK", "OTHER"))


async def test_a_large_partition_is_read_to_its_end(database: Database) -> None:
    """DynamoDB answers at most 1 MB; what lies behind it must not be forgotten."""
    text = "x" * 300_000
    for number in range(5):
        await database.write(_put("LARGE", str(number), text=text))
    assert len(await database.partition(ORDERS, ("PK", "LARGE"))) == 5


async def test_an_outage_is_unavailable_and_names_dynamodb(aws: Aws, database: Database) -> None:
    """Consumers pause and the gateway answers 503 by it; anything else would fill the dead letters."""
    await database.write(_put("a"))
    await aws.inject("dynamodb")
    await asyncio.gather(*(_is_unavailable(call) for call in _every_kind_of_call(database)))
    await aws.heal()
    await database.ping(ORDERS)


async def test_an_address_where_nobody_listens_is_unavailable(settings: Settings) -> None:
    """The emulator is not up yet, or the network is down: later it may work."""
    nowhere = settings.model_copy(update={"aws_endpoint_url": "http://127.0.0.1:9"})
    async with aws_clients(nowhere) as clients:
        database = Database(lambda: clients.get("dynamodb"), CursorSigner("key"))
        await _is_unavailable(database.ping(ORDERS))


def test_no_code_scans() -> None:
    """Counting calls sees only what a test happens to call."""
    sources = Path(bbws.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if '"scan"' in path.read_text() or ".scan(" in path.read_text()] == []


def _row(number: int) -> Put:
    return _put("LIST", f"ORDER#{number:03d}", n=number, status="NEW", statusSort=f"{number:03d}")


async def _pages(database: Database, **query: Any) -> list[Page[Item]]:
    pages = [await database.page(ORDERS, PageRequest(limit=10), **query)]
    while cursor := pages[-1].next_cursor:
        pages.append(await database.page(ORDERS, PageRequest(limit=10, cursor=cursor), **query))
    return pages


def _every_kind_of_call(database: Database) -> list[Awaitable[Any]]:
    return [
        database.find(ORDERS, ("a", "A")),
        database.write(_put("b")),
        database.write(Update(ORDERS, ("a", "A"), {"x": 1})),
        database.transact([_put("c")]),
        database.page(ORDERS, PageRequest(), partition=("PK", "a")),
        database.partition(ORDERS, ("PK", "a")),
        database.ping(ORDERS),
    ]


async def _is_unavailable(call: Awaitable[Any]) -> None:
    with pytest.raises(Unavailable) as raised:
        await call
    assert raised.value.dependency == "dynamodb"
