"""The outbox against DynamoDB and EventBridge: what is committed is published, whatever happens between."""

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import pytest
import pytest_asyncio

from bbws.shared.contracts.envelope import MAX_EVENT_BYTES
from bbws.shared.contracts.sales.order_events import OrderCreated
from bbws.shared.core.due import SHARDS
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import ConditionFailed, Database, Put
from bbws.shared.dynamo.keys import ORDERS
from bbws.shared.errors import Rejected, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.event_bus import EventBus
from tests.support.builders import a_paid_order, an_item, order_created
from tests.support.clock import HandClock
from tests.support.emulator import Aws
from tests.support.scripted import Answer, Scripted, refusal
from tests.support.waiting import eventually

pytestmark = pytest.mark.needs("dynamodb", "events", "sqs")
BUS = "bus-of-this-test"
GRACE = timedelta(seconds=10)


class Witness:
    """A queue behind the bus that shows what was published."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url
        self.seen: Counter[str] = Counter()
        self.bodies: list[Any] = []

    async def ids(self, total: int) -> Counter[str]:
        """How often each event arrived, once `total` have; and no more are there."""
        await eventually(partial(self._look, total), what=f"{total} published events")
        await self._look(total)
        return self.seen

    async def _look(self, total: int) -> bool:
        answer = await self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        bodies = [orjson.loads(message["Body"]) for message in answer.get("Messages", ())]
        self.bodies += bodies
        self.seen.update(body["id"] for body in bodies)
        return self.seen.total() >= total


@pytest_asyncio.fixture
async def witness(clients: AwsClients) -> Witness:
    events, sqs = await clients.get("events"), await clients.get("sqs")
    await events.create_event_bus(Name=BUS)
    url = (await sqs.create_queue(QueueName="witness"))["QueueUrl"]
    arn = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]))["Attributes"]["QueueArn"]
    await events.put_rule(Name="all", EventBusName=BUS, EventPattern='{"source":["bbws.payment"]}', State="ENABLED")
    target = {"Id": "witness", "Arn": arn, "InputPath": "$.detail"}
    await events.put_targets(Rule="all", EventBusName=BUS, Targets=[target])
    return Witness(sqs, url)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def outbox(clients: AwsClients, database: Database, clock: HandClock, witness: Witness) -> Outbox:
    return _an_outbox(clients, database, clock)


def _an_outbox(clients: AwsClients, database: Database, clock: HandClock) -> Outbox:
    return Outbox(database, EventBus(partial(clients.get, "events"), BUS), clock, table=ORDERS, grace=GRACE)


def _state(name: str) -> Put:
    return Put(ORDERS, {"PK": name, "SK": "STATE"})


async def _rows(database: Database) -> list[Item]:
    shards = [await database.partition(ORDERS, ("PK", f"OUTBOX#{shard}")) for shard in range(SHARDS)]
    return [row for shard in shards for row in shard]


async def _due(database: Database) -> int:
    shards = [
        await database.partition(ORDERS, ("dueKey", f"OUTBOX#{shard}"), index="DueIndex") for shard in range(SHARDS)
    ]
    return sum(map(len, shards))


async def test_committing_stores_the_state_and_publishes_the_event(
    outbox: Outbox, database: Database, clock: HandClock, witness: Witness
) -> None:
    """The normal case: nobody waits for housekeeping, and nothing is left for it."""
    event = order_created()
    await outbox.commit([_state("order")], [event])
    assert await database.find(ORDERS, ("order", "STATE"))
    assert await witness.ids(1) == {event.id: 1}
    clock.move(GRACE * 2)
    assert await outbox.sweep() == 0


async def test_a_published_row_leaves_the_due_index_and_expires(
    outbox: Outbox, database: Database, clock: HandClock
) -> None:
    """The index must hold only what is due, or every sweep reads the whole history."""
    await outbox.commit([], [order_created()])
    (row,) = await _rows(database)
    assert await _due(database) == 0
    assert not {"dueKey", "dueAt"} & row.keys()
    assert row["expiresAt"] == int((clock() + timedelta(days=7)).timestamp())
    assert row["publishedAt"] == "2026-11-21T17:34:12.000Z"


async def test_a_refused_write_publishes_nothing(outbox: Outbox, database: Database, aws: Aws) -> None:
    """An event about something that did not happen would be an invoice for nothing."""
    await database.write(_state("order"))
    with pytest.raises(ConditionFailed):
        await outbox.commit([_state("order")], [order_created()])
    assert await _rows(database) == []
    assert await aws.calls("events", "PutEvents") == 0


async def test_what_could_not_be_published_is_published_by_a_later_sweep_once(
    aws: Aws, outbox: Outbox, database: Database, clock: HandClock, witness: Witness
) -> None:
    """EventBridge is out for a moment: the customer's order stands, and its event follows."""
    event = order_created()
    await aws.inject("events", operation="PutEvents")
    await outbox.commit([_state("order")], [event])
    assert await _due(database) == 1
    await aws.heal()
    assert await outbox.sweep() == 0, "before the grace is over it is still the committing process's turn"
    clock.move(GRACE)
    assert await outbox.sweep() == 1
    assert await outbox.sweep() == 0
    assert await witness.ids(1) == {event.id: 1}


REFUSED: Answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
TAKEN: Answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}


def _behind(bus: Scripted, database: Database, clock: HandClock) -> Outbox:
    return Outbox(database, EventBus(bus, BUS), clock, table=ORDERS, grace=GRACE)


async def test_an_event_that_the_bus_refuses_in_a_good_answer_stays_due(database: Database, clock: HandClock) -> None:
    """PutEvents says 200 and lists what failed: marked as published, the paid order would never be invoiced."""
    outbox = _behind(Scripted(REFUSED, REFUSED, TAKEN), database, clock)
    await outbox.commit([_state("order")], [order_created()])
    assert await _due(database) == 1
    clock.move(GRACE)
    with pytest.raises(Unavailable, match="InternalFailure"):
        await outbox.sweep()
    clock.move(GRACE)
    assert (await outbox.sweep(), await _due(database)) == (1, 0)


async def test_each_event_of_a_commit_is_published_whatever_became_of_the_one_before(
    database: Database, clock: HandClock
) -> None:
    """A new tenant and the wish for its link leave together: one refused entry must not hold up the other."""
    bus = Scripted(REFUSED, TAKEN)
    await _behind(bus, database, clock).commit([], [order_created(), order_created()])
    assert bus.operations == ["put_events", "put_events"]
    assert await _due(database) == 1


async def test_a_row_is_taken_before_it_is_published_and_marked_after(database: Database, clock: HandClock) -> None:
    """Taken later, two relays publish it; marked earlier, a crash in between loses it."""
    due_at: list[Any] = []

    class Bus(Scripted):
        def __getattr__(self, operation: str) -> Any:
            async def put_events(**request: Any) -> dict[str, Any]:
                due_at.extend(row.get("dueAt") for row in await _rows(database))
                return await super(Bus, self).__getattr__(operation)(**request)

            return put_events

    outbox = _behind(Bus(REFUSED, TAKEN), database, clock)
    await outbox.commit([], [order_created()])
    committed = due_at[0]
    clock.move(GRACE)
    await outbox.sweep()
    assert due_at[1] > committed, "another relay must not see it as due"
    (row,) = await _rows(database)
    assert "dueAt" not in row


async def test_an_event_may_be_as_large_as_eventbridge_takes_it(database: Database, clock: HandClock) -> None:
    """The limit is of bytes, not of letters: one more is refused, and the last one that fits is sent."""
    event = _of_size(MAX_EVENT_BYTES)
    outbox = _behind(Scripted(TAKEN), database, clock)
    await outbox.commit([], [event])
    assert len((await _rows(database))[0]["envelope"].encode()) == MAX_EVENT_BYTES
    with pytest.raises(Rejected):
        await outbox.commit([], [_of_size(MAX_EVENT_BYTES + 1)])


def _of_size(size: int) -> OrderCreated:
    """Of so many bytes, with letters that take two."""
    item = an_item()
    bare = order_created(a_paid_order(item), event_id=new_id())
    room = size - len(bare.to_json())
    name = item.product_name + "ö" * (room // 2) + "x" * (room % 2)
    order = bare.data.order.model_copy(update={"items": (item.model_copy(update={"product_name": name}),)})
    return order_created(order, bare.data.payment, event_id=bare.id)


@pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException"])
async def test_a_commit_that_stands_is_no_error_whatever_the_bus_says(
    database: Database, clock: HandClock, code: str
) -> None:
    """The order is stored: who hears of an error sends it again, and the event goes out by the relay in any case."""
    await _behind(Scripted(refusal(code)), database, clock).commit([_state("order")], [order_created()])
    assert await _due(database) == 1


async def test_an_event_waits_its_grace_again_after_each_failed_sweep(
    aws: Aws, outbox: Outbox, database: Database, clock: HandClock
) -> None:
    """An outage of an hour must not be hammered, and the row tells how often it was tried."""
    await aws.inject("events", operation="PutEvents", status=400, code="ValidationException")
    await outbox.commit([], [order_created()])
    for _ in range(2):
        clock.move(GRACE)
        assert await outbox.sweep() == 0
        assert await outbox.sweep() == 0
    (row,) = await _rows(database)
    assert row["attempts"] == 2


async def test_a_sweep_ends_at_the_first_sign_of_an_outage(aws: Aws, outbox: Outbox, clock: HandClock) -> None:
    """A thousand rows would each wait for the same time-out, and be late when the bus is back."""
    # Left in the outbox by an error that nobody retries, so that only the sweep meets the outage.
    await aws.inject("events", operation="PutEvents", status=400, code="ValidationException")
    await outbox.commit([], [order_created() for _ in range(8)])
    await aws.inject("events", operation="PutEvents")
    clock.move(GRACE)
    before = await aws.calls("dynamodb", "UpdateItem")
    with pytest.raises(Unavailable):
        await outbox.sweep()
    assert await aws.calls("dynamodb", "UpdateItem") == before + 1


async def test_two_sweepers_at_once_publish_each_row_once(
    aws: Aws, clients: AwsClients, outbox: Outbox, database: Database, clock: HandClock, witness: Witness
) -> None:
    """Two of these processes run during every deployment."""
    events = [order_created() for _ in range(6)]
    await aws.inject("events", operation="PutEvents", status=400, code="ValidationException")
    await outbox.commit([], events)
    await aws.heal()
    clock.move(GRACE)
    other = _an_outbox(clients, database, clock)
    assert sum(await asyncio.gather(outbox.sweep(), other.sweep())) == len(events)
    assert await witness.ids(len(events)) == {event.id: 1 for event in events}


async def test_a_crash_between_publishing_and_marking_publishes_twice_and_loses_nothing(
    aws: Aws, outbox: Outbox, database: Database, clock: HandClock, witness: Witness
) -> None:
    """At least once is the promise; the id is the same, so that consumers recognise the second."""
    event = order_created()
    await aws.inject("dynamodb", operation="UpdateItem", status=400, code="ValidationException")
    await outbox.commit([_state("order")], [event])
    await aws.heal()
    assert await witness.ids(1) == {event.id: 1}
    clock.move(GRACE)
    assert await outbox.sweep() == 1
    assert await witness.ids(2) == {event.id: 2}
    assert await _due(database) == 0


async def test_too_large_an_event_is_refused_before_anything_is_stored(
    aws: Aws, outbox: Outbox, database: Database
) -> None:
    """EventBridge would never take it; a stored order without its event would never be invoiced."""
    with pytest.raises(Rejected, match=f"EventBridge takes {MAX_EVENT_BYTES}"):
        await outbox.commit([_state("order")], [order_created(), _too_large()])
    assert await database.find(ORDERS, ("order", "STATE")) is None
    assert await aws.calls("dynamodb", "TransactWriteItems") == 0


async def test_a_row_of_a_newer_version_keeps_no_other_row_waiting(
    aws: Aws, outbox: Outbox, database: Database, clock: HandClock, witness: Witness
) -> None:
    """While a deployment runs, the old process meets rows that only the new one can read."""
    events = [order_created() for _ in range(4)]
    await aws.inject("events", operation="PutEvents", status=400, code="ValidationException")
    await outbox.commit([], events)
    await aws.heal()
    for row in await _rows(database):
        newer = {"SK": "0", "schema": "urn:bbws:event:ORDER_CREATED:99"}
        await database.write(Put(ORDERS, row | newer, condition=None))
    clock.move(GRACE)
    assert await outbox.sweep() == len(events)
    assert await witness.ids(len(events)) == {event.id: 1 for event in events}


async def test_a_row_that_grew_is_published_as_it_is(
    aws: Aws, outbox: Outbox, database: Database, clock: HandClock, witness: Witness
) -> None:
    """The old process does not know all of what a new one stored, and takes nothing away from it."""
    await aws.inject("events", operation="PutEvents", status=400, code="ValidationException")
    await outbox.commit([], [order_created()])
    await aws.heal()
    (row,) = await _rows(database)
    grown = row["envelope"].replace('"data":{', '"data":{"surprise":{"of":"tomorrow"},')
    await database.write(Put(ORDERS, row | {"envelope": grown}, condition=None))
    clock.move(GRACE)
    assert await outbox.sweep() == 1
    await witness.ids(1)
    assert witness.bodies == [orjson.loads(grown)]


def _too_large() -> OrderCreated:
    items = [an_item().model_copy(update={"product_name": "x" * 20_000}) for _ in range(20)]
    return order_created(a_paid_order(*items))
