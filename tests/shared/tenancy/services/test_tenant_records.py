"""A tenant's records: exported whole, purged of what is personal, whatever happens in the middle (C-28)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from bbws.shared.bootstrap import bootstrap
from bbws.shared.contracts.operations import Operation
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.core.audit import digest_of
from bbws.shared.core.items import item_of
from bbws.shared.core.mail_claims import MailRepository, mail_of_order
from bbws.shared.dynamo.database import Database, Put, Update, Write
from bbws.shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.sales.repositories.orders import OrderRepository
from bbws.shared.sales.repositories.payment_notices import PaymentNoticeRepository
from bbws.shared.settings import Settings
from bbws.shared.tenancy.repositories.operations import OperationRepository
from bbws.shared.tenancy.repositories.tenants import TenantRepository
from bbws.shared.tenancy.services.tenant_records import LEASE, MAX_FAILURES, RETRY_AFTER
from bbws.shared.tenancy.services.tenants import GRACE
from tests.support.builders import an_invoice
from tests.support.emulator import Aws
from tests.support.market import OPERATOR, Market, MovedClock, paid
from tests.support.meanwhile import meanwhile
from tests.support.tenants import events_of, trail_of
from tests.support.waiting import eventually

ADMIN = "admin"
PAYER = "thandi@protea.example"
# Everything personal that the tenant of these tests has anywhere, but for the invoice.
PERSONAL = (PAYER, "Thandi Nkosi", "Jan Smuts", "owner-of-", "Org of ", "sipho@protea.example")


@dataclass(frozen=True)
class Archive(Market):
    """A market whose clock tests move."""

    clock: MovedClock

    @property
    def database(self) -> Database:
        return self.services.database

    async def customer(self) -> tuple[Tenant, Order]:
        """A tenant with a user, a division, and a paid order with everything that stands beside one."""
        name = new_id()
        tenant = await self.tenant(email=f"owner-of-{name}@example.com", organization_name=f"Org of {name}")
        order = await self.place(tenant, await self.product())
        await self.services.payments.record(paid(order))
        for sort_key, person in ((f"USER#{new_id()}", PAYER), ("HIERARCHY#sales##", "sipho@protea.example")):
            await self.database.write(Put("bbws-tenants", {"PK": f"TENANT#{tenant.id}", "SK": sort_key, "by": person}))
        # As the sealer writes it: the end of the trail's hash chain.
        await self.database.write(Put("bbws-tenants", {"PK": f"TENANT#{tenant.id}", "SK": "SEAL", "sequence": 1}))
        await self._beside(order)
        return tenant, order

    async def _beside(self, order: Order) -> None:
        invoice = an_invoice(await self.services.orders.get(order.tenant_id, order.id))
        key = (f"TENANT#{order.tenant_id}#ORDER#{order.id}", f"INVOICE#{invoice.number}")
        await self.database.write(Put("orders", item_of(invoice, key)))
        mails, now = MailRepository(self.database), self.clock()
        place = mail_of_order(order.tenant_id, order.id, "receipt")
        await mails.claim(place, "receipt", now=now, lease_until=now)
        await mails.sent(place, message_id="m", recipients=PAYER, now=now)
        await self.notice(order, state="VERIFIED")

    async def notice(self, order: Order, **fields: Any) -> PaymentNotice:
        """What PayFast said of the order, with the name of who paid; judged, unless `fields` say otherwise."""
        itn = PaymentNotice(
            sha256=new_id().replace("-", "") * 2,
            raw_body=f"email_address={PAYER}",
            source_address="127.0.0.1",
            received_at=self.clock(),
            tenant_id=order.tenant_id,
            order_id=order.id,
        )
        stored = await PaymentNoticeRepository(self.database).store(itn, self.clock())
        if fields:
            judged = stored.model_copy(update=fields)
            await self.database.write(PaymentNoticeRepository(self.database).decided(judged))
        return stored

    async def order_purge(self, tenant: Tenant) -> Operation:
        return await self.services.tenant_records.order_purge(tenant.id, actor=ADMIN)

    async def purge(self, tenant: Tenant) -> Operation:
        operation = await self.order_purge(tenant)
        assert await self.services.tenant_records.purge_due() == 1
        return await self.services.operations.get(operation.id)

    async def stored(self, tenant: Tenant, order: Order) -> list[dict[str, Any]]:
        """Everything that is stored under the tenant's keys."""
        partitions = [("bbws-tenants", f"TENANT#{tenant.id}"), ("orders", f"TENANT#{tenant.id}")]
        found = [await self.items(table, partition) for table, partition in partitions]
        return [*found[0], *found[1], *(await self.items_beside(order))]

    async def exported(self, operation: Operation) -> list[dict[str, Any]]:
        key = f"exports/{operation.tenant_id}/{operation.id}.jsonl"
        return [json.loads(line) for line in (await self.pdf(key)).splitlines()]


@pytest_asyncio.fixture
async def archive(aws: Aws, provisioned: Settings) -> AsyncIterator[Archive]:
    clock = MovedClock()
    async with bootstrap(provisioned, clock=clock) as services:
        yield Archive(aws, services, clock)


def _personal(items: list[dict[str, Any]]) -> list[str]:
    """The keys of items that still hold something personal; an invoice names its recipient, as the law asks."""
    texts = {item["SK"]: json.dumps(item, default=str) for item in items if not item["SK"].startswith("INVOICE#")}
    return [key for key, text in texts.items() if any(word in text for word in PERSONAL)]


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
    assert len(_personal(before)) > 5
    operation = await archive.purge(tenant)
    assert (operation.status, operation.error, operation.failures) == ("SUCCEEDED", None, 0)
    assert operation.document_key == f"exports/{tenant.id}/{operation.id}.jsonl"
    left = await archive.stored(tenant, order)
    assert _personal(left) == []
    kinds = {item["SK"].partition("#")[0] for item in left}
    assert kinds == {"METADATA", "EVENT", "SEAL", "OP", "ORDER", "PAYMENT", "ITN", "INVOICE", "EMAIL"}
    purged = await archive.services.tenants.get(tenant.id)
    assert (purged.status, purged.organization_name, purged.email) == ("DELETED", None, f"{tenant.id}@erased.example")
    assert purged.purged_at is not None
    kept = await archive.services.orders.get(tenant.id, order.id)
    assert (kept.total_cents, kept.status, kept.billing_address.country) == (order.total_cents, "PAID", "ZA")
    assert [item for item in left if item["SK"].startswith("INVOICE#")] == [invoice]
    assert len(_personal(await archive.stored(other, others_order))) > 5


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


async def test_purges_that_are_ordered_at_once_are_one(archive: Archive) -> None:
    """Two administrators who press the button get the same operation; one of a version that is old is told."""
    tenant, _ = await archive.customer()
    operations = await asyncio.gather(*(archive.order_purge(tenant) for _ in range(10)))
    assert len({operation.id for operation in operations}) == 1
    with pytest.raises(PreconditionFailed):
        await archive.services.tenant_records.order_purge(tenant.id, version=1, actor=ADMIN)


@pytest.mark.own_account
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
    assert _personal(await archive.stored(tenant, order)) == []
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
    assert _personal(await archive.stored(tenant, order)) == []
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
    assert len(_personal(await archive.stored(tenant, order))) > 5
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
    assert _personal(await archive.stored(tenant, order)) == []
    (erased,) = await archive.items("orders", key[0])
    assert (erased["status"], erased["version"], erased["lastUpdatedBy"]) == (
        "SHIPPED",
        before["version"] + 1,
        "tenant-purge",
    )


@pytest.mark.own_account
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
    assert _personal(await archive.stored(tenant, order)) == []


def _is_of_orders(write: Write) -> bool:
    return isinstance(write, Update) and write.table == "orders"


def _ends_the_purge(write: Write) -> bool:
    return isinstance(write, Update) and write.changes.get("status") == "SUCCEEDED"


async def test_tenant_that_is_restored_at_this_moment_is_not_purged(archive: Archive) -> None:
    """Its thirty days are over when somebody thinks better of it; the next tenant is purged all the same."""
    (first, _), (second, _) = await archive.customer(), await archive.customer()
    tenants, records = archive.services.tenants, archive.services.tenant_records
    for tenant in (first, second):
        await tenants.delete(tenant.id, version=1, actor=OPERATOR)
    archive.clock.advance(GRACE.total_seconds() + 1)
    restored: list[str] = []

    async def restore_whose_turn_it_is() -> None:
        due = [each.id for each in await TenantRepository(archive.database).list_to_purge(archive.clock())]
        restored.append(next(tenant_id for tenant_id in due if tenant_id in (first.id, second.id)))
        await tenants.restore(restored[0], actor=OPERATOR)

    with meanwhile(restore_whose_turn_it_is):
        assert await records.order_due_purges() == 1
    assert await records.purge_due() == 1
    for tenant in (first, second):
        now = await tenants.get(tenant.id)
        assert (now.status, now.purged_at is None) == (
            ("ACTIVE", True) if tenant.id in restored else ("DELETED", False)
        )


async def test_purge_that_another_takes_at_this_moment_is_left_to_it(archive: Archive) -> None:
    """Two processes read the same list of what is due; whoever is second goes on with the next."""
    tenant, order = await archive.customer()
    operation = await archive.order_purge(tenant)
    records = archive.services.tenant_records
    with meanwhile(records.purge_due):
        assert await records.purge_due() == 0
    done = await archive.services.operations.get(operation.id)
    assert (done.status, done.failures) == ("SUCCEEDED", 0)
    assert _personal(await archive.stored(tenant, order)) == []


@pytest.mark.parametrize("ending", [_is_of_orders, _ends_the_purge])
async def test_purge_that_outlives_its_lease_is_ended_by_another(
    archive: Archive, capsys: pytest.CaptureFixture[str], ending: Callable[[Write], bool]
) -> None:
    """The process slept; what it finds done when it wakes is no error of its own, and is done once."""
    tenant, order = await archive.customer()
    operation = await archive.order_purge(tenant)
    records = archive.services.tenant_records

    async def carried_out_by_another() -> None:
        archive.clock.advance(LEASE.total_seconds() + 1)
        assert await records.purge_due() == 1

    with meanwhile(carried_out_by_another, before=ending):
        await records.purge_due()
    done = await archive.services.operations.get(operation.id)
    assert (done.status, done.error, done.failures) == ("SUCCEEDED", None, 0)
    assert "purge failed" not in capsys.readouterr().out, "nobody need be called for it"
    assert await records.purge_due() == 0
    assert _personal(await archive.stored(tenant, order)) == []
    assert [entry.action for entry in await trail_of(archive.database, tenant.id)].count("TENANT_PURGED") == 1


@pytest.mark.own_account
@pytest.mark.parametrize(("judged", "status"), [({}, "PENDING"), ({"state": "VERIFIED"}, "SUCCEEDED")])
async def test_notice_that_comes_while_the_tenant_is_forgotten_is_erased(
    archive: Archive, judged: dict[str, Any], status: str
) -> None:
    """PayFast repeats notices for hours: the round that ends a purge looks at all of it once more."""
    tenant, order = await archive.customer()
    operation = await archive.order_purge(tenant)

    def forgets(write: Write) -> bool:
        return isinstance(write, Update) and "purgedAt" in write.changes

    with meanwhile(partial(archive.notice, order, **judged), before=forgets):
        await archive.services.tenant_records.purge_due()
    done = await archive.services.operations.get(operation.id)
    assert done.status == status
    assert (_personal(await archive.stored(tenant, order)) == []) == (status == "SUCCEEDED")


async def test_purge_under_way_is_nobody_elses_until_its_lease_ends(archive: Archive) -> None:
    """A tenant with many orders takes minutes: a second process at it would only do the work twice."""
    tenant, _ = await archive.customer()
    await archive.order_purge(tenant)
    records, begun = archive.services.tenant_records, list[int]()

    async def another_looks() -> None:
        archive.clock.advance(LEASE.total_seconds() - 5)
        begun.append(await records.purge_due())

    with meanwhile(another_looks, before=_is_of_orders):
        assert await records.purge_due() == 1
    assert begun == [0]


async def test_purge_that_waits_is_left_to_who_took_it_over(archive: Archive) -> None:
    """A notice is not judged yet, and the process was too slow to say so: the other one's word counts."""
    tenant, order = await archive.customer()
    itn = await archive.notice(order)
    operation = await archive.order_purge(tenant)
    records = archive.services.tenant_records

    def gives_back(write: Write) -> bool:
        return isinstance(write, Update) and write.changes.get("status") == "PENDING"

    async def judged_and_purged_by_another() -> None:
        judged = itn.replace(state="NOTED")
        await archive.database.write(PaymentNoticeRepository(archive.database).decided(judged))
        archive.clock.advance(LEASE.total_seconds() + 1)
        await records.purge_due()

    with meanwhile(judged_and_purged_by_another, before=gives_back):
        await records.purge_due()
    done = await archive.services.operations.get(operation.id)
    assert (done.status, done.error) == ("SUCCEEDED", None)


async def test_purge_that_failed_is_begun_anew_once(archive: Archive) -> None:
    """Two administrators press the button again: one operation, ordered once more, and no error for the second."""
    tenant, _ = await archive.customer()
    operation = await archive.order_purge(tenant)
    failed = operation.changed(by="test", at=archive.clock(), status="FAILED", failures=MAX_FAILURES)
    await archive.database.write(OperationRepository(archive.database).changed(failed, None))
    with meanwhile(lambda: archive.order_purge(tenant)):
        begun = await archive.order_purge(tenant)
    assert (begun.id, begun.status, begun.version) == (operation.id, "PENDING", 3)
    told = [entry.action for entry in await trail_of(archive.database, tenant.id)]
    assert told.count("TENANT_PURGE_ORDERED") == 2
    assert await archive.services.tenant_records.purge_due() == 1


async def test_order_that_changes_while_it_is_erased_keeps_both_changes(archive: Archive) -> None:
    """It is paid at the very moment: the payment stays, and nothing personal does."""
    tenant, order = await archive.customer()
    unpaid = await archive.place(tenant, await archive.product())
    event = paid(unpaid)

    def erases_it(write: Write) -> bool:
        return isinstance(write, Update) and write.key[1] == f"ORDER#{unpaid.id}"

    await archive.order_purge(tenant)
    with meanwhile(lambda: archive.services.payments.record(event), before=erases_it):
        assert await archive.services.tenant_records.purge_due() == 1
    now = await archive.services.orders.get(tenant.id, unpaid.id)
    assert (now.status, now.customer_email) == ("PAID", f"{tenant.id}@erased.example")
    assert now.version == 3, "each of the two is a version"
    assert _personal([*await archive.stored(tenant, order), *await archive.items_beside(unpaid)]) == []


async def test_what_comes_while_it_is_erased_is_erased_too(archive: Archive) -> None:
    """An order was on its way when the tenant was deleted, and lands behind what was looked at already."""
    tenant, order = await archive.customer()
    await archive.order_purge(tenant)
    late = order.replace(id="00000000-0000-7000-8000-000000000000")

    async def lands() -> None:
        await archive.database.write(OrderRepository(archive.database).new(late))

    with meanwhile(lands, before=_is_of_orders):
        assert await archive.services.tenant_records.purge_due() == 1
    assert (await archive.services.orders.get(tenant.id, late.id)).customer_email == f"{tenant.id}@erased.example"


async def test_export_of_a_purge_is_stored_before_anything_is_erased(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round a crash in between leaves neither the data nor the file; the trail says so before it goes."""
    tenant, order = await archive.customer()
    await archive.order_purge(tenant)
    before, put_once = await archive.stored(tenant, order), DocumentStore.put_once
    stood: list[int] = []

    async def noted(store: DocumentStore, *arguments: Any) -> bool:
        stood.append(len(_personal(await archive.stored(tenant, order))))
        return await put_once(store, *arguments)

    def erases_details(write: Write) -> bool:
        return isinstance(write, Update) and write.key[1].startswith("EVENT#")

    told: list[list[str]] = []

    async def note_the_trail() -> None:
        told.append([entry.action for entry in await trail_of(archive.database, tenant.id)])

    monkeypatch.setattr(DocumentStore, "put_once", noted)
    with meanwhile(note_the_trail, before=erases_details):
        await archive.services.tenant_records.purge_due()
    assert stood == [len(_personal(before))]
    assert told[0][-1] == "TENANT_PURGED"
