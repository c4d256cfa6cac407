"""Parked, suspended, deleted: what may follow on what, what it publishes, and that a repeat does nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.errors import Conflict, PreconditionFailed
from bbws.shared.tenancy.repositories.tenants import TenantRepository
from tests.support.market import OPERATOR, Market, order_draft
from tests.support.tenants import events_of, trail_of

Act = Callable[[], Awaitable[Tenant]]

# For each action the hold it is about, whether it places it, and the event that tells it.
ACTIONS = {
    "park": ("parked", True, "TENANT_PARKED"),
    "unpark": ("parked", False, "TENANT_UNPARKED"),
    "suspend": ("suspended", True, "TENANT_SUSPENDED"),
    "resume": ("suspended", False, "TENANT_RESUMED"),
    "delete": ("deleted", True, "TENANT_DELETED"),
    "restore": ("deleted", False, "TENANT_RESTORED"),
}
STATUS = (("deleted", "DELETED"), ("suspended", "SUSPENDED"), ("parked", "PARKED"))


class Model:
    """What a tenant should be, in the fewest words."""

    def __init__(self) -> None:
        self.holds: set[str] = set()
        self.events = ["TENANT_CREATED"]

    @property
    def status(self) -> str:
        return next((status for hold, status in STATUS if hold in self.holds), "ACTIVE")

    def refuses(self, action: str) -> bool:
        hold = ACTIONS[action][0]
        is_deleted = hold != "deleted" and "deleted" in self.holds
        return is_deleted or (action == "park" and "suspended" in self.holds)

    def act(self, action: str) -> None:
        hold, places, event = ACTIONS[action]
        if (hold in self.holds) != places:
            (self.holds.add if places else self.holds.remove)(hold)
            self.events.append(event)


def _act(market: Market, tenant: Tenant, action: str) -> Act:
    method: Any = getattr(market.services.tenants, action)
    more = {"version": tenant.version} if action == "delete" else {"reason": f"to {action}"}
    return partial(method, tenant.id, actor=OPERATOR, **more)


@examples(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(st.sampled_from(sorted(ACTIONS)), max_size=12))
async def test_any_course_of_actions_ends_where_the_model_says(shared_market: Market, actions: list[str]) -> None:
    """Status, holds, events and audit trail after any course; what is refused or so already leaves no trace at all."""
    tenant, model = await shared_market.tenant(), Model()
    for action in actions:
        before = tenant
        if model.refuses(action):
            with pytest.raises(Conflict):
                await _act(shared_market, tenant, action)()
        else:
            tenant = await _act(shared_market, tenant, action)()
            model.act(action)
        changed = len(model.events) == tenant.version and tenant.version == before.version + 1
        assert changed or tenant == before
        assert {hold for hold, _ in STATUS if getattr(tenant, hold)} == model.holds
    assert tenant == await shared_market.services.tenants.get(tenant.id)
    assert (tenant.status, tenant.active) == (model.status, "deleted" not in model.holds)
    assert [event.type for event in await events_of(shared_market.services.database, tenant.id)] == model.events
    trail = await trail_of(shared_market.services.database, tenant.id)
    assert [entry.action for entry in trail] == model.events


async def test_parking_twice_publishes_once(shared_market: Market) -> None:
    """A button that is pressed twice sends one mail; the reason that was given first stays."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    parked = await tenants.park(tenant.id, reason="Closed in December", actor=OPERATOR)
    again = await tenants.park(tenant.id, reason="Another reason", actor="somebody else")
    assert again == parked
    assert parked.parked is not None
    assert (parked.status, parked.parked.reason, parked.parked.by) == ("PARKED", "Closed in December", OPERATOR)
    created, event = await events_of(shared_market.services.database, tenant.id)
    assert (created.type, event.type, event.data.reason) == ("TENANT_CREATED", "TENANT_PARKED", "Closed in December")
    assert event.data.tenant == parked


async def test_parking_fifty_times_at_once_publishes_once(shared_market: Market) -> None:
    """Fifty gateways that park the same tenant make one change; nobody of them sees an error."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    answers = await asyncio.gather(*(tenants.park(tenant.id, reason=f"reason {n}", actor=OPERATOR) for n in range(50)))
    assert len({answer.parked.reason for answer in answers if answer.parked}) == 1
    assert {answer.version for answer in answers} == {2}
    assert [event.type for event in await events_of(shared_market.services.database, tenant.id)] == [
        "TENANT_CREATED",
        "TENANT_PARKED",
    ]


async def test_different_holds_at_once_are_all_placed(shared_market: Market) -> None:
    """Without If-Match an action means what it says, whatever else happens at that moment: none of them is lost."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    await tenants.park(tenant.id, reason="pause", actor=OPERATOR)
    await asyncio.gather(
        tenants.unpark(tenant.id, actor=OPERATOR),
        tenants.suspend(tenant.id, reason="unpaid", actor=OPERATOR),
    )
    now = await tenants.get(tenant.id)
    assert (now.status, now.parked, now.version) == ("SUSPENDED", None, 4)


async def test_holds_are_independent_of_each_other(shared_market: Market) -> None:
    """A customer who asked for a pause and then paid late is still on the pause when the payment arrives."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    await tenants.park(tenant.id, reason="pause", actor=OPERATOR)
    suspended = await tenants.suspend(tenant.id, reason="unpaid", actor=OPERATOR)
    assert suspended.status == "SUSPENDED"
    deleted = await tenants.delete(tenant.id, version=suspended.version, actor=OPERATOR)
    assert (deleted.status, deleted.active) == ("DELETED", False)
    restored = await tenants.restore(tenant.id, actor=OPERATOR)
    assert restored.replace(date_last_updated=suspended.date_last_updated, version=suspended.version) == suspended
    assert (await tenants.resume(tenant.id, actor=OPERATOR)).status == "PARKED"


async def test_what_refuses_says_what_to_do(shared_market: Market) -> None:
    """An operator reads the sentence, not the state machine."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    await tenants.suspend(tenant.id, reason="unpaid", actor=OPERATOR)
    with pytest.raises(Conflict, match="is suspended; resume it first"):
        await tenants.park(tenant.id, reason="pause", actor=OPERATOR)
    await tenants.delete(tenant.id, version=2, actor=OPERATOR)
    for action in ("park", "unpark", "suspend", "resume"):
        with pytest.raises(Conflict, match="is deleted; restore it first"):
            await _act(shared_market, tenant, action)()


async def test_deleted_tenant_is_purged_after_thirty_days_unless_it_is_restored(shared_market: Market) -> None:
    """The date is told from the first day; a tenant that is back is not purged."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    deleted = await tenants.delete(tenant.id, version=1, actor=OPERATOR)
    assert deleted.deleted is not None
    assert deleted.purge_at == deleted.deleted.since + timedelta(days=30)
    waiting = TenantRepository(shared_market.services.database)
    assert tenant.id in {each.id for each in await waiting.list_to_purge(deleted.purge_at)}
    assert tenant.id not in {each.id for each in await waiting.list_to_purge(deleted.deleted.since)}
    assert (await tenants.restore(tenant.id, actor=OPERATOR)).purge_at is None
    assert tenant.id not in {each.id for each in await waiting.list_to_purge(deleted.purge_at)}


async def test_names_of_a_deleted_tenant_stay_taken(shared_market: Market) -> None:
    """For 30 days it may come back, and must find its e-mail and organisation its own (C-28)."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    await tenants.delete(tenant.id, version=1, actor=OPERATOR)
    with pytest.raises(Conflict, match="email"):
        await shared_market.tenant(email=tenant.email)


async def test_deleting_needs_the_newest_version(shared_market: Market) -> None:
    """Somebody who deletes what another has just changed is told, and deletes nothing."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    await tenants.park(tenant.id, reason="pause", actor=OPERATOR)
    with pytest.raises(PreconditionFailed):
        await tenants.delete(tenant.id, version=1, actor=OPERATOR)
    assert (await tenants.get(tenant.id)).status == "PARKED"


async def test_audit_trail_tells_who_why_and_what_changed(shared_market: Market) -> None:
    """The entry is of the same transaction, and holds only the fields that differ."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    await tenants.suspend(tenant.id, reason="unpaid", actor=OPERATOR)
    _, entry = await trail_of(shared_market.services.database, tenant.id)
    assert entry.details is not None
    assert (entry.action, entry.actor, entry.details.reason) == ("TENANT_SUSPENDED", OPERATOR, "unpaid")
    assert entry.details.before["status"] == "ACTIVE"
    assert (entry.details.after["status"], entry.details.after["suspended"]["reason"]) == ("SUSPENDED", "unpaid")
    assert "email" not in entry.details.after


async def test_who_is_held_may_order_and_who_is_deleted_may_not(shared_market: Market) -> None:
    """A suspended customer must be able to pay; an order of a deleted one would be an order of nobody."""
    tenant, product = await shared_market.tenant(), await shared_market.product()
    tenants, orders = shared_market.services.tenants, shared_market.services.orders
    await tenants.park(tenant.id, reason="pause", actor=OPERATOR)
    await shared_market.place(tenant, product)
    await tenants.suspend(tenant.id, reason="unpaid", actor=OPERATOR)
    order = await shared_market.place(tenant, product)
    await tenants.delete(tenant.id, version=3, actor=OPERATOR)
    with pytest.raises(Conflict, match="is deleted"):
        await shared_market.place(tenant, product)
    # A repeat of an order that was placed before finds its order.
    repeated = await orders.place(tenant.id, order_draft(product), actor=OPERATOR, order_id=order.id)
    assert repeated == order
