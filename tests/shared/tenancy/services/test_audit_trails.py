"""Trails on DynamoDB: sealed by however many processes, read by pages, exported whole, verified."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.clock import iso
from bbws.shared.contracts.audit import PLATFORM, PURGED, AuditDetails, AuditEntry
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.tenancy.tenants import TenantDraft
from bbws.shared.core.audit_entries import AuditRepository, HeadMoved, StoredEntry
from bbws.shared.core.items import BrokenItem
from bbws.shared.dynamo.codec import encode_item
from bbws.shared.dynamo.database import Database, Delete, Put, Update
from bbws.shared.dynamo.keys import TENANTS, tenant_partition
from bbws.shared.errors import NotFound, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.tenancy.rules.audit_chain import Anchor
from bbws.shared.tenancy.services import audit_trails
from bbws.shared.tenancy.services.audit_trails import SEALED_AT_ONCE
from tests.support.audit import an_entry, kinds
from tests.support.emulator import Aws
from tests.support.market import MovedClock
from tests.support.meanwhile import meanwhile
from tests.support.waiting import eventually

# What one test leaves to be sealed, another one would count.
pytestmark = [pytest.mark.needs("dynamodb"), pytest.mark.own_account]


class Trails:
    """Trails of a table that only this test seals."""

    def __init__(self, aws: Aws, services: Services, clock: MovedClock) -> None:
        self.aws = aws
        self.services = services
        self.clock = clock
        self.database: Database = services.database
        self.repository = AuditRepository(self.database)

    async def write(self, many: int, trail: str | None = None, **fields: Any) -> str:
        """So many entries of a new trail, or of one that is there; as of now, without a service in between."""
        trail = trail or new_id()
        async with self.aws.client("dynamodb") as dynamodb:
            entries = [an_entry(**{"tenant_id": trail, "at": self.clock(), **fields}) for _ in range(many)]
            puts = [{"PutRequest": {"Item": encode_item(self.repository.new(entry).item)}} for entry in entries]
            for start in range(0, many, 25):
                await dynamodb.batch_write_item(RequestItems={TENANTS: puts[start : start + 25]})
        return trail

    async def all(self, trail: str) -> list[AuditEntry]:
        return [entry async for entry in self.services.audit_trails.export(trail)]

    async def seal(self) -> int:
        return await self.services.audit_trails.seal_due()

    async def findings(self, trail: str, **asked: Any) -> list[tuple[str, int | None]]:
        return list(kinds(await self.services.audit_trails.verify(trail, **asked)))

    async def sequences(self, trail: str) -> list[int]:
        return sorted(entry.seal.sequence for entry in await self.all(trail) if entry.seal)


@pytest_asyncio.fixture
async def trails(provisioned: Any, aws: Aws) -> AsyncIterator[Trails]:
    clock = MovedClock()
    async with bootstrap(provisioned, clock=clock) as services:
        yield Trails(aws, services, clock)


async def test_entries_are_sealed_once_and_the_trail_holds(trails: Trails) -> None:
    """The sealer runs behind: nothing that writes waits for it, and nothing is sealed twice."""
    trail = await trails.write(3)
    assert (await trails.services.audit_trails.verify(trail)).waiting == 3
    assert await trails.seal() == 3
    assert await trails.seal() == 0
    report = await trails.services.audit_trails.verify(trail)
    assert (report.entries, report.sealed_up_to, report.waiting, report.findings) == (3, 3, 0, [])
    assert await trails.sequences(trail) == [1, 2, 3]


async def test_a_thousand_entries_make_one_chain(trails: Trails) -> None:
    """After an outage of housekeeping the backlog is sealed in transactions of ninety, and each trail by itself."""
    trail, other = await trails.write(1000), await trails.write(2)
    before = await trails.aws.calls("dynamodb", "TransactWriteItems")
    assert await trails.seal() == 1002
    transactions = await trails.aws.calls("dynamodb", "TransactWriteItems") - before
    assert transactions <= -(-1000 // SEALED_AT_ONCE) + 1 + 3, "one more where a page of the index ends"
    assert await trails.sequences(trail) == list(range(1, 1001))
    assert await trails.sequences(other) == [1, 2]
    assert await trails.findings(trail) == []


async def test_entries_with_much_in_them_are_sealed_in_smaller_batches(
    trails: Trails, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB takes 4 MB at once: a transaction that is too large is refused each time, and the trail never sealed."""
    monkeypatch.setattr(audit_trails, "MAX_SEALED_BYTES", 5_000)
    large = AuditDetails(salt=new_id(), source="203.0.113.9", after={"features": "x" * 1_500})
    trail = await trails.write(9, details=large)
    before = await trails.aws.calls("dynamodb", "TransactWriteItems")
    assert await trails.seal() == 9
    assert await trails.aws.calls("dynamodb", "TransactWriteItems") - before >= 4
    assert await trails.findings(trail) == []


async def test_one_entry_larger_than_a_batch_is_sealed_by_itself(
    trails: Trails, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty batch before it would be a chain without a last link, and the trail would stop there."""
    monkeypatch.setattr(audit_trails, "MAX_SEALED_BYTES", 100)
    trail = await trails.write(2)
    assert await trails.seal() == 2
    assert await trails.findings(trail) == []


async def test_a_trail_that_cannot_be_sealed_stops_no_other(trails: Trails, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it suffers from: one customer's trail must not leave those of all others without a seal."""
    broken, whole = await trails.write(1), [await trails.write(1) for _ in range(3)]
    find_head = AuditRepository.find_head

    async def fails(repository: AuditRepository, tenant_id: str) -> Any:
        if tenant_id == broken:
            raise RuntimeError("nobody foresaw this")
        return await find_head(repository, tenant_id)

    with monkeypatch.context() as patched:
        patched.setattr(AuditRepository, "find_head", fails)
        assert await trails.seal() == 3
    assert [await trails.sequences(trail) for trail in whole] == [[1]] * 3
    assert await trails.seal() == 1


async def test_a_sealer_that_another_overtakes_leaves_the_rest_to_it(
    trails: Trails, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second process sealed the same entries between read and write: nothing is sealed twice, nothing raised."""
    trail = await trails.write(3)
    with meanwhile(trails.seal):
        assert await trails.seal() == 0
    assert "due work failed" not in capsys.readouterr().out, "nobody need be called for it"
    assert await trails.sequences(trail) == [1, 2, 3]
    assert await trails.findings(trail) == []


async def test_what_is_sealed_while_it_is_verified_is_no_finding(
    trails: Trails, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Housekeeping seals every few seconds, and a long trail takes longer to read: nobody forged anything."""
    trail = await trails.write(3)
    all_of_tenant = AuditRepository.all_of_tenant

    async def sealed_before_it_is_read(repository: AuditRepository, tenant_id: str) -> AsyncIterator[list[StoredEntry]]:
        await trails.seal()
        async for page in all_of_tenant(repository, tenant_id):
            yield page

    with monkeypatch.context() as patched:
        patched.setattr(AuditRepository, "all_of_tenant", sealed_before_it_is_read)
        assert await trails.findings(trail) == []
    assert await trails.sequences(trail) == [1, 2, 3]


async def test_an_entry_that_stands_under_another_key_is_named(trails: Trails) -> None:
    """A copy of a true entry, moved to another time or another tenant's trail, is true word for word and a lie."""
    trail, other = await trails.write(1), await trails.write(1)
    await trails.seal()
    (entry,) = await trails.all(trail)
    for partition, sort in ((other, f"EVENT#{iso(entry.at)}#{entry.id}"), (trail, f"EVENT#{iso(entry.at)}#{new_id()}")):
        item = trails.repository.new(entry).item | {"PK": f"TENANT#{partition}", "SK": sort}
        await trails.database.write(Put(TENANTS, item))
        assert ("MISPLACED", None) in await trails.findings(partition)


async def test_two_sealers_at_once_make_one_chain(trails: Trails) -> None:
    """Two of these processes run during every deployment; whoever comes second leaves the entry to the first."""
    trail = await trails.write(200)
    async with bootstrap(trails.services.settings, clock=trails.clock) as other:
        sealers = (trails.services.audit_trails, other.audit_trails) * 2
        sealed = await asyncio.gather(*(sealer.seal_due() for sealer in sealers))
    assert sum(sealed) + await trails.seal() == 200
    assert await trails.sequences(trail) == list(range(1, 201))
    assert await trails.findings(trail) == []


async def test_a_sealer_that_read_an_old_head_changes_nothing(trails: Trails) -> None:
    """The index lags: two sealers may see different entries, and both would begin where the chain ended for them."""
    trail = await trails.write(1)
    await trails.seal()
    old_head = await trails.repository.find_head(trail)
    await trails.write(1, trail)
    await trails.seal()
    await trails.write(1, trail)
    (waiting,) = (entry for entry in await trails.all(trail) if entry.seal is None)
    for head in (old_head, None):
        with pytest.raises(HeadMoved):
            await trails.services.audit_trails._extend(trail, head, [waiting])
    assert await trails.seal() == 1
    assert await trails.sequences(trail) == [1, 2, 3]
    assert await trails.findings(trail) == []


async def test_a_sealer_that_dies_between_leaves_a_chain_that_goes_on(trails: Trails) -> None:
    """Seals and head are one transaction: after a crash between two of them the next sealer begins where it ended."""
    many = SEALED_AT_ONCE * 3
    trail = await trails.write(many)
    await trails.aws.inject("dynamodb", status=None, operation="TransactWriteItems", latency_ms=300)
    sealing = asyncio.create_task(trails.seal())
    await eventually(partial(trails.repository.find_head, trail), what="the first transaction")
    sealing.cancel()
    await asyncio.wait([sealing])
    assert sealing.cancelled()
    await trails.aws.heal()
    assert SEALED_AT_ONCE <= len(await trails.sequences(trail)) < many
    assert await trails.findings(trail) == []
    async with bootstrap(trails.services.settings, clock=trails.clock) as other:
        await other.audit_trails.seal_due()
    assert await trails.sequences(trail) == list(range(1, many + 1))
    assert await trails.findings(trail) == []


async def test_an_outage_is_no_finding(trails: Trails) -> None:
    """Housekeeping waits and goes on; entries are written and wait with it."""
    trail = await trails.write(3)
    await trails.aws.inject("dynamodb", operation="TransactWriteItems")
    with pytest.raises(Unavailable):
        await trails.seal()
    await trails.aws.heal()
    assert await trails.seal() == 3
    assert await trails.findings(trail) == []


async def test_a_late_entry_of_an_earlier_time_is_sealed_behind(trails: Trails) -> None:
    """Clocks differ, and transactions take their time: the order of the chain is the sequence, not the time."""
    trail = await trails.write(3)
    await trails.seal()
    await trails.write(1, trail, at=trails.clock() - timedelta(minutes=5))
    assert await trails.seal() == 1
    first, *_ = await trails.all(trail)
    assert first.seal is not None
    assert first.seal.sequence == 4
    assert await trails.findings(trail) == []


async def test_what_was_done_to_the_table_is_named(trails: Trails) -> None:
    """Somebody who can write the table removes one entry, alters one, hides one from the sealer and erases another."""
    trail = await trails.write(6)
    await trails.seal()
    entries = {entry.seal.sequence: entry for entry in await trails.all(trail) if entry.seal}
    keys = {number: trails.repository.new(entry).item for number, entry in entries.items()}
    place = {number: (item["PK"], item["SK"]) for number, item in keys.items()}
    await trails.database.write(Delete(TENANTS, place[2]))
    await trails.database.write(Update(TENANTS, place[3], {"actor": "nobody"}))
    await trails.database.write(Update(TENANTS, place[4], {"details": {"salt": "", "source": "elsewhere"}}))
    await trails.database.write(Update(TENANTS, place[5], {"details": None}))
    await trails.write(1, trail)
    hidden = next(entry for entry in await trails.all(trail) if entry.seal is None)
    item = trails.repository.new(hidden).item
    await trails.database.write(Update(TENANTS, (item["PK"], item["SK"]), {"dueKey": None, "dueAt": None}))
    assert await trails.seal() == 0
    trails.clock.advance(10 * 60 + 1)
    assert sorted(await trails.findings(trail), key=str) == [
        ("ALTERED", 3), ("DETAILS_ALTERED", 4), ("DETAILS_ERASED", None), ("NOT_SEALED", None), ("REMOVED", 2),
    ]  # fmt: skip


async def test_a_forged_head_is_not_signed_by_the_sealer(trails: Trails) -> None:
    """Extending it would put our own signature behind what somebody forged; every other trail goes on."""
    trail = await trails.write(5)
    await trails.seal()
    head = await trails.repository.find_head(trail)
    assert head is not None
    fourth = next(entry.seal for entry in await trails.all(trail) if entry.seal and entry.seal.sequence == 4)
    shorter = head.model_copy(update={"sequence": 4, "hash": fourth.hash})
    await trails.database.write(trails.repository.head(shorter, head))
    await trails.write(1, trail)
    other = await trails.write(1)
    assert await trails.seal() == 1
    assert await trails.sequences(other) == [1]
    assert ("HEAD_FORGED", 4) in await trails.findings(trail)


async def test_a_head_that_is_none_stops_its_own_trail_alone(trails: Trails) -> None:
    """What cannot be read cannot be extended."""
    trail = await trails.write(1)
    await trails.seal()
    await trails.database.write(Update(TENANTS, (tenant_partition(trail), "SEAL"), {"hash": "none"}))
    await trails.write(1, trail)
    await trails.write(1)
    assert await trails.seal() == 1
    assert ("HEAD_FORGED", None) in await trails.findings(trail)


async def test_an_item_that_is_no_entry_stops_nobody(trails: Trails) -> None:
    """A broken item among those that are due would be read first for ever; it is left out, and named."""
    trail = await trails.write(1)
    broken = trails.repository.new(an_entry(tenant_id=trail, at=trails.clock())).item | {"digest": "none"}
    await trails.database.write(Put(TENANTS, broken))
    assert await trails.seal() == 1
    assert await trails.findings(trail) == [("MISPLACED", None)]
    with pytest.raises(BrokenItem):
        await trails.all(trail)


async def test_a_sealed_entry_that_is_made_due_again_is_left_alone(trails: Trails) -> None:
    """Somebody who puts the marker back must not stop the sealing of what comes."""
    trail = await trails.write(1)
    (entry,) = await trails.all(trail)
    due = trails.repository.new(entry).item
    await trails.seal()
    marker = {"dueKey": due["dueKey"], "dueAt": due["dueAt"]}
    await trails.database.write(Update(TENANTS, (due["PK"], due["SK"]), marker))
    await trails.write(1, trail)
    assert await trails.seal() == 1
    assert await trails.findings(trail) == []


async def test_a_purged_tenants_trail_holds_without_its_details(trails: Trails) -> None:
    """Personal data goes, and the proof that nothing else went stays."""
    trail = await trails.write(3)
    await trails.seal()
    entries = await trails.all(trail)
    await trails.database.transact([_without_details(entry) for entry in entries])
    assert await trails.findings(trail) == [("DETAILS_ERASED", None)]
    await trails.write(1, trail, action=PURGED)
    await trails.seal()
    assert await trails.findings(trail) == []
    assert [entry.details is None for entry in await trails.all(trail)] == [True, True, True, False]


def _without_details(entry: AuditEntry) -> Update:
    """As a purge writes it."""
    key = (tenant_partition(entry.tenant_id), f"EVENT#{iso(entry.at)}#{entry.id}")
    return Update(TENANTS, key, {"details": None})


async def test_an_anchor_is_what_the_log_said(trails: Trails) -> None:
    """The log is where the table's writer cannot write."""
    trail = await trails.write(2)
    await trails.seal()
    head = await trails.repository.find_head(trail)
    assert head is not None
    await trails.write(2, trail)
    await trails.seal()
    assert await trails.findings(trail, anchor=Anchor(head.sequence, head.hash)) == []
    assert await trails.findings(trail, anchor=Anchor(head.sequence + 1, head.hash)) == [("ANCHOR", None)]


async def test_a_trail_is_listed_newest_first_by_pages(trails: Trails) -> None:
    """R-130, through the table's own key, with more than one page."""
    trail = await trails.write(5)
    listed: list[AuditEntry] = []
    page = PageRequest(2)
    pages = 0
    while True:
        found = await trails.services.audit_trails.list(trail, page)
        listed += found.items
        pages += 1
        if found.next_cursor is None:
            break
        page = PageRequest(2, found.next_cursor)
    assert pages == 3
    assert listed == (await trails.all(trail))[::-1]
    assert len(listed) == 5


async def test_a_trail_that_is_wiped_whole_does_not_look_like_one_that_holds(trails: Trails) -> None:
    """Every tenant begins with an entry: with all of them and the head gone, there is nothing left to verify."""
    draft = TenantDraft(organization_name=f"Org {new_id()}", email=f"{new_id()}@protea.example")
    tenant = await trails.services.tenants.create(draft, actor="test", tenant_id=new_id())
    assert await trails.findings(tenant.id) == []
    (entry,) = await trails.all(tenant.id)
    await trails.database.write(Delete(TENANTS, (tenant_partition(tenant.id), f"EVENT#{iso(entry.at)}#{entry.id}")))
    assert await trails.findings(tenant.id) == [("CUT", None)]


async def test_an_unknown_tenant_has_no_trail(trails: Trails) -> None:
    """A slip of the pen must not look like a trail that holds; the platform's is always there."""
    for asked in (
        trails.services.audit_trails.list(new_id(), PageRequest()),
        trails.services.audit_trails.verify(new_id()),
        trails.all(new_id()),
    ):
        with pytest.raises(NotFound):
            await asked
    assert await trails.findings(PLATFORM) == []
    assert await trails.all(PLATFORM) == []
