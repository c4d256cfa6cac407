"""A purge meets others: second purgers, orders and notices on their way, a restore at the same moment."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bbws.shared.dynamo.database import Update, Write
from bbws.shared.errors import PreconditionFailed
from bbws.shared.sales.repositories.orders import OrderRepository
from bbws.shared.sales.repositories.payment_notices import PaymentNoticeRepository
from bbws.shared.tenancy.repositories.operations import OperationRepository
from bbws.shared.tenancy.repositories.tenants import TenantRepository
from bbws.shared.tenancy.services.tenant_records import LEASE, MAX_FAILURES
from bbws.shared.tenancy.services.tenants import GRACE
from tests.support.archive import ADMIN, Archive, personal
from tests.support.market import OPERATOR, paid
from tests.support.meanwhile import meanwhile
from tests.support.tenants import trail_of

# What one test leaves to be purged, another one would count.
pytestmark = pytest.mark.own_account


async def test_purges_that_are_ordered_at_once_are_one(archive: Archive) -> None:
    """Two administrators who press the button get the same operation; one of a version that is old is told."""
    tenant, _ = await archive.customer()
    operations = await asyncio.gather(*(archive.order_purge(tenant) for _ in range(10)))
    assert len({operation.id for operation in operations}) == 1
    with pytest.raises(PreconditionFailed):
        await archive.services.tenant_records.order_purge(tenant.id, version=1, actor=ADMIN)


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
    assert personal(await archive.stored(tenant, order)) == []


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
    assert personal(await archive.stored(tenant, order)) == []
    assert [entry.action for entry in await trail_of(archive.database, tenant.id)].count("TENANT_PURGED") == 1


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
    assert (personal(await archive.stored(tenant, order)) == []) == (status == "SUCCEEDED")


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
    assert personal([*await archive.stored(tenant, order), *await archive.items_beside(unpaid)]) == []


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
