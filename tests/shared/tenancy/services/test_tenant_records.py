"""A tenant's records: exported whole, purged of what is personal, whatever happens in the middle (C-28)."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from bbws.shared.core.audit import digest_of
from bbws.shared.dynamo.database import Put, Update, Write
from bbws.shared.errors import Conflict, NotFound, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.sales.repositories.payment_notices import PaymentNoticeRepository
from bbws.shared.tenancy.services.tenant_records import LEASE, MAX_FAILURES, RETRY_AFTER
from bbws.shared.tenancy.services.tenants import GRACE
from tests.support.archive import ADMIN, PAYER, Archive, personal
from tests.support.market import OPERATOR
from tests.support.meanwhile import meanwhile
from tests.support.tenants import events_of, trail_of
from tests.support.waiting import eventually

# What one test leaves to be purged, another one would count.
pytestmark = pytest.mark.own_account


async def test_export_holds_every_item_of_the_tenant(archive: Archive) -> None:
    """Who asks for their data gets all of it, in lines that any program reads; that it was taken is on record."""
    tenant, order = await archive.customer()
    lines = [json.loads(line) async for line in await archive.services.tenant_records.export(tenant.id, actor=ADMIN)]
    kinds = [line["item"]["SK"].partition("#")[0] for line in lines]
    assert sorted(set(kinds)) == [
        "EMAIL", "EVENT", "HIERARCHY", "INVOICE", "ITN", "METADATA", "ORDER", "PAYMENT", "SEAL", "USER"
    ]  # fmt: skip
    assert len(lines) == len(await archive.stored(tenant, order))
    assert {line["table"] for line in lines} == {"bbws-tenants", "orders"}
    assert [entry.action for entry in await trail_of(archive.database, tenant.id)] == [
        "TENANT_CREATED",
        "TENANT_EXPORTED",
    ]
    with pytest.raises(NotFound):
        await archive.services.tenant_records.export(new_id(), actor=ADMIN)


async def test_purge_leaves_nothing_personal_but_the_invoice(archive: Archive) -> None:
    """Users, hierarchy, names and addresses go; orders, payments, invoices and the trail stay, and still parse."""
    tenant, order = await archive.customer()
    other, others_order = await archive.customer()
    before = await archive.stored(tenant, order)
    (invoice,) = (item for item in before if item["SK"].startswith("INVOICE#"))
    assert len(personal(before)) > 5
    operation = await archive.purge(tenant)
    assert (operation.status, operation.error, operation.failures) == ("SUCCEEDED", None, 0)
    assert operation.document_key == f"exports/{tenant.id}/{operation.id}.jsonl"
    left = await archive.stored(tenant, order)
    assert personal(left) == []
    kinds = {item["SK"].partition("#")[0] for item in left}
    assert kinds == {"METADATA", "EVENT", "SEAL", "OP", "ORDER", "PAYMENT", "ITN", "INVOICE", "EMAIL"}
    purged = await archive.services.tenants.get(tenant.id)
    assert (purged.status, purged.organization_name, purged.email) == ("DELETED", None, f"{tenant.id}@erased.example")
    assert purged.purged_at is not None
    kept = await archive.services.orders.get(tenant.id, order.id)
    assert (kept.total_cents, kept.status, kept.billing_address.country) == (order.total_cents, "PAID", "ZA")
    assert [item for item in left if item["SK"].startswith("INVOICE#")] == [invoice]
    assert len(personal(await archive.stored(other, others_order))) > 5


async def test_export_of_a_purge_is_what_was_there_before(archive: Archive) -> None:
    """Purged is final: the file is the only place where it can be looked up."""
    tenant, order = await archive.customer()
    operation = await archive.order_purge(tenant)
    before = len(await archive.stored(tenant, order))
    await archive.services.tenant_records.purge_due()
    lines = await archive.exported(operation)
    assert any(line["item"].get("organizationName") == tenant.organization_name for line in lines)
    assert any(line["item"].get("customerEmail") == PAYER for line in lines)
    assert len(lines) == before


async def test_names_of_a_purged_tenant_are_free(archive: Archive) -> None:
    """The customer may come back, as a new one."""
    tenant, _ = await archive.customer()
    await archive.purge(tenant)
    back = await archive.tenant(email=tenant.email, organization_name=tenant.organization_name)
    assert back.id != tenant.id


async def test_trail_of_a_purged_tenant_keeps_who_did_what_and_the_digests(archive: Archive) -> None:
    """The hash chain stands on digests: details can go, and whether an entry was removed still shows."""
    tenant, _ = await archive.customer()
    await archive.services.tenants.park(tenant.id, reason="Sipho is ill", actor=OPERATOR)
    before = {entry.id: entry for entry in await trail_of(archive.database, tenant.id)}
    await archive.purge(tenant)
    after = {entry.id: entry for entry in await trail_of(archive.database, tenant.id)}
    for entry_id, entry in before.items():
        assert entry.details is not None
        assert after[entry_id] == entry.model_copy(update={"details": None})
        assert after[entry_id].digest == digest_of(entry.details)
    told = [entry.action for entry in after.values()]
    assert told[-2:] == ["TENANT_PURGE_ORDERED", "TENANT_PURGED"]


async def test_purge_deletes_first_and_cannot_be_taken_back(archive: Archive) -> None:
    """From the order on the tenant is gone for its users, and who tries to restore it is told why not."""
    tenant, _ = await archive.customer()
    operation = await archive.order_purge(tenant)
    deleted = await archive.services.tenants.get(tenant.id)
    assert (deleted.status, deleted.purge_operation_id) == ("DELETED", operation.id)
    assert [event.type for event in await events_of(archive.database, tenant.id)] == [
        "TENANT_CREATED",
        "TENANT_DELETED",
    ]
    with pytest.raises(Conflict, match="is being purged"):
        await archive.services.tenants.restore(tenant.id, actor=OPERATOR)
    assert await archive.order_purge(tenant) == operation
    await archive.services.tenant_records.purge_due()
    with pytest.raises(Conflict, match="was purged"):
        await archive.services.tenants.park(tenant.id, reason="pause", actor=OPERATOR)
    assert (await archive.order_purge(tenant)).status == "SUCCEEDED"
    assert await archive.services.tenant_records.purge_due() == 0


async def test_grace_over_purges_by_itself(archive: Archive) -> None:
    """Thirty days after its deletion, not a minute before; one that was restored stays."""
    tenant, order = await archive.customer()
    kept, _ = await archive.customer()
    for each in (tenant, kept):
        await archive.services.tenants.delete(each.id, version=1, actor=OPERATOR)
    await archive.services.tenants.restore(kept.id, actor=OPERATOR)
    records = archive.services.tenant_records
    archive.clock.advance((GRACE - timedelta(minutes=1)).total_seconds())
    assert (await records.order_due_purges(), await records.purge_due()) == (0, 0)
    archive.clock.advance(120)
    assert (await records.order_due_purges(), await records.purge_due()) == (1, 1)
    assert (await records.order_due_purges(), await records.purge_due()) == (0, 0)
    assert personal(await archive.stored(tenant, order)) == []
    assert (await archive.services.tenants.get(kept.id)).status == "ACTIVE"


@pytest.mark.parametrize("at", ["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "Query"])
@pytest.mark.needs("faults")
async def test_purge_goes_on_where_a_crash_left_it(archive: Archive, at: str) -> None:
    """Killed at any step, another process takes over after the lease, and the export still holds all of it."""
    tenant, order = await archive.customer()
    operation = await archive.order_purge(tenant)
    before = len(await archive.stored(tenant, order))
    await _killed_at(archive, at)
    archive.clock.advance(LEASE.total_seconds() + 1)
    await archive.services.tenant_records.purge_due()
    assert (await archive.services.operations.get(operation.id)).status == "SUCCEEDED"
    assert personal(await archive.stored(tenant, order)) == []
    assert len(await archive.exported(operation)) == before


async def _killed_at(archive: Archive, operation: str) -> None:
    """The process ends while a call of this kind is under way."""
    calls = await archive.aws.calls("dynamodb", operation)
    await archive.aws.inject("dynamodb", operation=operation, status=None, latency_ms=20_000)
    working = asyncio.create_task(archive.services.tenant_records.purge_due())

    async def reached() -> bool:
        return working.done() or await archive.aws.calls("dynamodb", operation) > calls

    await eventually(reached, what=f"the purge reached {operation}")
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await archive.aws.heal()


@pytest.mark.needs("faults")
async def test_outage_fails_no_purge(archive: Archive) -> None:
    """S3 is out: the operation waits, and does not count that as its own failure."""
    tenant, _ = await archive.customer()
    operation = await archive.order_purge(tenant)
    await archive.aws.inject("s3")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await archive.services.tenant_records.purge_due()
        archive.clock.advance(RETRY_AFTER.total_seconds() + 1)
    waiting = await archive.services.operations.get(operation.id)
    assert (waiting.status, waiting.failures) == ("PENDING", 0)
    await archive.aws.heal()
    assert await archive.services.tenant_records.purge_due() == 1
    assert (await archive.services.operations.get(operation.id)).status == "SUCCEEDED"


@pytest.mark.needs("faults")
async def test_purge_that_fails_again_and_again_stops_and_can_be_begun_anew(archive: Archive) -> None:
    """What cannot work is not tried for ever; the operation says so, and the same order begins it again."""
    tenant, order = await archive.customer()
    operation = await archive.order_purge(tenant)
    await archive.aws.inject("s3", status=400, code="InvalidRequest")
    for _ in range(MAX_FAILURES):
        assert await archive.services.tenant_records.purge_due() == 1
        archive.clock.advance(RETRY_AFTER.total_seconds() + 1)
    assert await archive.services.tenant_records.purge_due() == 0
    failed = await archive.services.operations.get(operation.id)
    assert (failed.status, failed.failures, failed.error) == (
        "FAILED",
        MAX_FAILURES,
        "InvalidRequest; the log says more",
    )
    assert len(personal(await archive.stored(tenant, order))) > 5
    await archive.aws.heal()
    begun = await archive.order_purge(tenant)
    assert (begun.id, begun.status) == (operation.id, "PENDING")
    assert await archive.services.tenant_records.purge_due() == 1
    assert (await archive.services.operations.get(operation.id)).status == "SUCCEEDED"


async def test_order_that_cannot_be_read_is_erased(archive: Archive) -> None:
    """A newer version's, or broken: who it names has a right to be forgotten all the same."""
    tenant, order = await archive.customer()
    key = (f"TENANT#{tenant.id}", f"ORDER#{order.id}")
    await archive.database.write(Update("orders", key, {"status": "SHIPPED"}))
    (before,) = await archive.items("orders", key[0])
    assert (await archive.purge(tenant)).status == "SUCCEEDED"
    assert personal(await archive.stored(tenant, order)) == []
    (erased,) = await archive.items("orders", key[0])
    assert (erased["status"], erased["version"], erased["lastUpdatedBy"]) == (
        "SHIPPED",
        before["version"] + 1,
        "tenant-purge",
    )


async def test_purge_stops_at_what_nobody_declares(archive: Archive) -> None:
    """Neither kept nor deleted may be right: somebody has to say, and until then the operation tells what it met."""
    tenant, order = await archive.customer()
    strange = {"PK": f"TENANT#{order.tenant_id}#ORDER#{order.id}", "SK": "SITE#1", "contact": PAYER}
    await archive.database.write(Put("orders", strange))
    stopped = await archive.purge(tenant)
    assert (stopped.status, stopped.failures) == ("PENDING", 1)
    assert stopped.error == "nobody declares SITE in orders: what of it is personal?"
    assert strange in await archive.items_beside(order)


async def test_purge_waits_for_a_notice_that_is_not_judged(archive: Archive) -> None:
    """PayFast was not to be reached when the customer paid: the notice is needed as it came until it is judged."""
    tenant, order = await archive.customer()
    itn = await archive.notice(order)
    waiting = await archive.purge(tenant)
    assert (waiting.status, waiting.error) == ("PENDING", "a payment notice of this tenant is not judged yet")
    judged = itn.model_copy(update={"state": "NOTED"})
    await archive.database.write(PaymentNoticeRepository(archive.database).decided(judged))
    archive.clock.advance(61)
    assert await archive.services.tenant_records.purge_due() == 1
    assert (await archive.services.operations.get(waiting.id)).status == "SUCCEEDED"
    assert personal(await archive.stored(tenant, order)) == []


async def test_export_of_a_purge_is_stored_before_anything_is_erased(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round a crash in between leaves neither the data nor the file; the trail says so before it goes."""
    tenant, order = await archive.customer()
    await archive.order_purge(tenant)
    before, put_once = await archive.stored(tenant, order), DocumentStore.put_once
    stood: list[int] = []

    async def noted(store: DocumentStore, *arguments: Any) -> bool:
        stood.append(len(personal(await archive.stored(tenant, order))))
        return await put_once(store, *arguments)

    def erases_details(write: Write) -> bool:
        return isinstance(write, Update) and write.key[1].startswith("EVENT#")

    told: list[list[str]] = []

    async def note_the_trail() -> None:
        told.append([entry.action for entry in await trail_of(archive.database, tenant.id)])

    monkeypatch.setattr(DocumentStore, "put_once", noted)
    with meanwhile(note_the_trail, before=erases_details):
        await archive.services.tenant_records.purge_due()
    assert stood == [len(personal(before))]
    assert told[0][-1] == "TENANT_PURGED"
