"""Work that is due: found at its moment, left to who took it, and gone when it is done."""

import asyncio
from datetime import timedelta

import pytest
from pydantic import BaseModel

from bbws.shared.core.due import DONE, SHARDS, DueWork, TakenAlready, each, readable
from bbws.shared.dynamo.database import Database, Key, Put, Update
from bbws.shared.dynamo.keys import ORDERS
from bbws.shared.errors import Unavailable
from bbws.shared.ids import new_id
from tests.support.builders import PLACED_AT

REMINDERS = DueWork(ORDERS, "REMINDER")
SOON = PLACED_AT + timedelta(minutes=5)
LATER = SOON + timedelta(minutes=5)


class Waiting(BaseModel):
    dueAt: int  # noqa: N815 - as it is stored


async def _reminder(database: Database, *, work: DueWork = REMINDERS) -> Key:
    key = (f"REMINDER#{new_id()}", "METADATA")
    await database.write(Put(ORDERS, {"PK": key[0], "SK": key[1], **work.at(key[0], SOON)}))
    return key


async def test_what_is_due_is_found_at_its_moment_in_every_partition(database: Database) -> None:
    """A partition that nobody looks into holds work for ever."""
    keys = {await _reminder(database) for _ in range(10 * SHARDS)}
    assert await REMINDERS.list_due(database, SOON - timedelta(milliseconds=1)) == []
    due = await REMINDERS.list_due(database, SOON)
    assert {(item["PK"], item["SK"]) for item in due} == keys
    assert {item["dueKey"] for item in due} == {f"REMINDER#{shard}" for shard in range(SHARDS)}
    assert await DueWork(ORDERS, "OTHER").list_due(database, SOON) == []


async def test_work_of_one_partition_waits_under_its_own_name(database: Database) -> None:
    """Staff records that wait since before there were shards are found."""
    alone = DueWork(ORDERS, "ALONE", shards=1)
    await _reminder(database, work=alone)
    (item,) = await alone.list_due(database, SOON)
    assert item["dueKey"] == "ALONE"


async def test_one_takes_it_and_when_the_lease_ends_another_one(database: Database) -> None:
    """Two that are at the same work do it twice; one that died over it must not keep it for ever."""
    key = await _reminder(database)
    (seen,) = await REMINDERS.list_due(database, SOON)
    take = REMINDERS.taken(key, seen["dueAt"], LATER, attempts=1)
    answers = await asyncio.gather(*(database.write(take) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers if answer] == [TakenAlready] * 4
    assert await REMINDERS.list_due(database, LATER - timedelta(milliseconds=1)) == []
    (again,) = await REMINDERS.list_due(database, LATER)
    assert again["attempts"] == 1


async def test_what_is_done_is_due_no_more(database: Database) -> None:
    """An entry that stays in the index is done again with every sweep."""
    key = await _reminder(database)
    await database.write(Update(ORDERS, key, DONE))
    assert await REMINDERS.list_due(database, LATER) == []
    assert REMINDERS.at(key[0], None) == dict(DONE)


async def test_one_that_fails_keeps_no_other_waiting() -> None:
    """A single record that nobody can read would stop the work of all customers."""
    done = []

    async def do(thing: str) -> bool:
        if thing == "broken":
            raise ValueError(thing)
        if thing == "taken":
            raise TakenAlready(thing)
        done.append(thing)
        return thing != "undecided"

    assert await each(["broken", "one", "taken", "undecided", "two"], do, name=str) == 2
    assert done == ["one", "undecided", "two"]


def test_what_cannot_be_read_keeps_no_other_waiting() -> None:
    """It is there before anything is done: reading all of it at once would fail for all."""
    items = [
        {"PK": name, "SK": "METADATA", "dueAt": due_at} for name, due_at in (("one", 1), ("two", "x"), ("three", 3))
    ]
    assert readable(Waiting, items) == [Waiting(dueAt=1), Waiting(dueAt=3)]


async def test_an_outage_ends_the_round() -> None:
    """Each of a thousand rows would wait for the same time-out."""
    asked = []

    async def do(thing: str) -> bool:
        asked.append(thing)
        raise Unavailable("ses", "out")

    with pytest.raises(Unavailable):
        await each(["one", "two"], do, name=str)
    assert asked == ["one"]
