"""Tenants and their operations by the indexes that list them, page by page."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from bbws.shared.contracts.operations import Operation
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.tenancy.tenants import Hold, Tenant
from bbws.shared.ids import new_id
from bbws.shared.tenancy.repositories.operations import OperationRepository
from bbws.shared.tenancy.repositories.tenants import TenantRepository
from tests.support.builders import PAID_AT, PLACED_AT, a_tenant
from tests.support.market import Market
from tests.support.paging import paged


async def _stored(market: Market, *tenants: Tenant) -> TenantRepository:
    repository = TenantRepository(market.services.database)
    for tenant in tenants:
        await market.services.database.transact(repository.new(tenant))
    return repository


async def _paged(read: Callable[[PageRequest], Awaitable[Page[Tenant]]], *, limit: int) -> list[list[str]]:
    """The ids of every page."""
    return [[tenant.id for tenant in page] for page in await paged(read, limit=limit)]


def _aged(number: int, **fields: object) -> Tenant:
    """A tenant that was made and changed `number` minutes after others."""
    at = PLACED_AT + timedelta(minutes=number)
    return a_tenant(date_created=at, date_last_updated=at, **fields)


async def test_tenants_are_listed_by_status_the_last_changed_first(market: Market) -> None:
    """R-127: three pages of two; the tenants of another status are on none of them."""
    parked = {"status": "PARKED", "parked": Hold(since=PLACED_AT, by="test", reason="pause")}
    tenants = [_aged(number, **parked) for number in range(5)]
    repository = await _stored(market, *tenants, _aged(9))
    newest_first = [tenant.id for tenant in reversed(tenants)]
    assert await _paged(partial(repository.list_by_status, "PARKED"), limit=2) == [
        newest_first[:2], newest_first[2:4], newest_first[4:]
    ]  # fmt: skip
    assert await _paged(partial(repository.list_by_status, "SUSPENDED"), limit=2) == [[]]


async def test_tenant_moves_between_the_lists_with_its_status(market: Market) -> None:
    """The index follows the change: it is on one list, never on both or on none."""
    tenant = await market.tenant()
    repository = TenantRepository(market.services.database)
    await market.services.tenants.park(tenant.id, reason="pause", actor="test")
    assert await _paged(partial(repository.list_by_status, "PARKED"), limit=2) == [[tenant.id]]
    assert await _paged(partial(repository.list_by_status, "ACTIVE"), limit=2) == [[]]


async def test_tenants_are_listed_by_environment_newest_first(market: Market) -> None:
    """C-07, with an index of its own: status and environment cannot share one."""
    tenants = [_aged(number, environment="sit") for number in range(5)]
    repository = await _stored(market, *tenants, _aged(9, environment="dev"))
    newest_first = [tenant.id for tenant in reversed(tenants)]
    assert await _paged(partial(repository.list_by_environment, "sit"), limit=2) == [
        newest_first[:2], newest_first[2:4], newest_first[4:]
    ]  # fmt: skip


async def test_tenant_is_listed_by_organization_and_by_email(market: Market) -> None:
    """R-126 and R-075: one, however it is spelt, also where a full page makes the reader ask for another one."""
    tenant, other = a_tenant(organization_name="Protea  Bakery"), a_tenant()
    repository = await _stored(market, tenant, other)
    for spelt in ("Protea Bakery", " protea BAKERY "):
        pages = await _paged(partial(repository.list_by_organization, spelt), limit=1)
        assert [tenant_id for page in pages for tenant_id in page] == [tenant.id]
    for spelt in (tenant.email, f" {tenant.email.upper()}"):
        pages = await _paged(partial(repository.list_by_email, spelt), limit=1)
        assert [tenant_id for page in pages for tenant_id in page] == [tenant.id]
    assert await _paged(partial(repository.list_by_organization, "Nobody"), limit=1) == [[]]


async def test_lists_follow_a_change_of_names(market: Market) -> None:
    """Somebody who looks for the old name finds nobody, and by the new one the tenant."""
    before = a_tenant()
    repository = await _stored(market, before)
    after = before.changed(by="operator", at=PAID_AT, email="new@protea.example", organization_name=None)
    await market.services.database.transact(repository.changed(before, after))
    assert before.organization_name is not None
    assert await _paged(partial(repository.list_by_organization, before.organization_name), limit=2) == [[]]
    assert await _paged(partial(repository.list_by_email, before.email), limit=2) == [[]]
    assert await _paged(partial(repository.list_by_email, after.email), limit=2) == [[after.id]]


async def test_operations_are_found_by_id_and_listed_by_status(market: Market) -> None:
    """The id is all that a 202 gives; a tenant's list says newest first what is still under way."""
    repository, tenant_id = OperationRepository(market.services.database), new_id()
    operations = [_operation(tenant_id, number) for number in range(5)]
    for operation in operations:
        await market.services.database.transact(repository.new(operation, PLACED_AT))
    done = operations[2].changed(by="relay", at=PAID_AT, status="SUCCEEDED")
    await market.services.database.write(repository.changed(done, None))
    assert await repository.find_anywhere(done.id) == done
    assert await repository.find_anywhere(new_id()) is None
    ids = [operation.id for operation in reversed(operations)]
    first = await repository.list_of_tenant(tenant_id, PageRequest(3))
    second = await repository.list_of_tenant(tenant_id, PageRequest(3, first.next_cursor))
    assert [each.id for each in (*first.items, *second.items)] == ids
    pending = [each for each in ids if each != done.id]
    first = await repository.list_by_status(tenant_id, "PENDING", PageRequest(3))
    second = await repository.list_by_status(tenant_id, "PENDING", PageRequest(3, first.next_cursor))
    assert [each.id for each in (*first.items, *second.items)] == pending
    assert (await repository.list_by_status(tenant_id, "SUCCEEDED", PageRequest())).items == [done]
    assert {each.id for each in await repository.list_due(PLACED_AT)} == set(pending)


def _operation(tenant_id: str, number: int) -> Operation:
    at = PLACED_AT + timedelta(minutes=number)
    record = {"date_created": at, "date_last_updated": at, "last_updated_by": "test"}
    return Operation(id=f"019aa7d0-8e3c-7003-8000-{number:012d}", tenant_id=tenant_id, kind="TENANT_PURGE", **record)
