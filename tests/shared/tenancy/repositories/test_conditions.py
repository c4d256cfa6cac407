"""Each write holds over what was read and over nothing else: whoever comes second is told, and changes nothing.

What is decided on an old version is decided on something that is no longer so; the services run again by these errors.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bbws.shared.contracts.audit import Seal
from bbws.shared.contracts.operations import Operation
from bbws.shared.contracts.tenancy.registrations import MailedLink, hash_of
from bbws.shared.contracts.tenancy.tenants import Hold
from bbws.shared.contracts.tenancy.users import StaffMember, UserAssignment
from bbws.shared.core.audit_entries import AuditRepository, HeadMoved
from bbws.shared.core.due import TakenAlready
from bbws.shared.core.items import item_of
from bbws.shared.dynamo.database import ConditionFailed, Database, Put, Write
from bbws.shared.dynamo.keys import TENANTS
from bbws.shared.errors import Conflict
from bbws.shared.ids import new_id
from bbws.shared.tenancy.repositories.hierarchies import HierarchyChanged, HierarchyRepository
from bbws.shared.tenancy.repositories.operations import OperationChanged, OperationRepository
from bbws.shared.tenancy.repositories.registrations import AskedAlready, Claim, LinkTaken, RegistrationRepository
from bbws.shared.tenancy.repositories.tenants import TenantChanged, TenantExists, TenantRepository
from bbws.shared.tenancy.repositories.users import (
    OwnersChanged,
    StaffRepository,
    UserAssigned,
    UserChanged,
    UserInvitedAlready,
    UserRepository,
)
from tests.support.audit import SIGNER, a_chain
from tests.support.builders import PAID_AT, PLACED_AT, a_tenant
from tests.support.market import Market
from tests.support.races import Race

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
RECORD: dict[str, Any] = {"date_created": PLACED_AT, "date_last_updated": PLACED_AT, "last_updated_by": "test"}
BY: dict[str, Any] = {"by": "test", "at": PAID_AT}


def _operation(database: Database) -> Race:
    repository = OperationRepository(database)
    operation = Operation(id=new_id(), tenant_id=new_id(), kind="TENANT_PURGE", **RECORD)
    taken, failed = (operation.changed(**BY, status=status) for status in ("RUNNING", "FAILED"))
    first, second = repository.changed(taken, PAID_AT), repository.changed(failed, None)
    return Race(repository.new(operation, PAID_AT), [first], [second], OperationChanged)


def _assignment() -> UserAssignment:
    return UserAssignment(tenant_id=new_id(), user_id=new_id(), email="a@b.example", role="MEMBER", **RECORD)


def _user_made(database: Database) -> Race:
    repository, user = UserRepository(database), _assignment()
    return Race([], [repository.new(user)], [repository.new(user.replace(role="OWNER"))], UserAssigned)


def _user_changed(database: Database) -> Race:
    repository, user = UserRepository(database), _assignment()
    viewer, owner = (repository.changed(user.changed(**BY, role=role)) for role in ("VIEWER", "OWNER"))
    return Race([repository.new(user)], [viewer], [owner], UserChanged)


def _user_removed_after_a_change(database: Database) -> Race:
    repository, user = UserRepository(database), _assignment()
    changed = repository.changed(user.changed(**BY, role="OWNER"))
    return Race([repository.new(user)], [changed], [repository.removed(user)], UserChanged)


def _user_changed_after_removal(database: Database) -> Race:
    repository, user = UserRepository(database), _assignment()
    changed = repository.changed(user.changed(**BY, role="OWNER"))
    return Race([repository.new(user)], [repository.removed(user)], [changed], UserChanged)


def _first_owner(database: Database) -> Race:
    counted = UserRepository(database).owners_counted(new_id(), 0, 1)
    return Race([], [counted], [counted], OwnersChanged)


def _last_owners(database: Database) -> Race:
    repository, tenant_id = UserRepository(database), new_id()
    gone = repository.owners_counted(tenant_id, 2, 1)
    stands = [Put(TENANTS, {"PK": f"TENANT#{tenant_id}", "SK": "OWNERS", "owners": 2})]
    return Race(stands, [gone], [gone], OwnersChanged)


def _invited(database: Database) -> Race:
    repository, tenant_id, user_id = UserRepository(database), new_id(), new_id()
    first = repository.invited(tenant_id, user_id, now=PAID_AT, quiet_since=PAID_AT - MINUTE)
    second = repository.invited(tenant_id, user_id, now=PAID_AT + SECOND, quiet_since=PAID_AT + SECOND - MINUTE)
    return Race([], [first], [second], UserInvitedAlready)


def _member() -> StaffMember:
    return StaffMember(user_id=new_id(), email="olga@bbws.example", roles=("OPERATOR",), **RECORD)


def _staff_made(database: Database) -> Race:
    repository, member = StaffRepository(database), _member()
    return Race(
        [],
        [repository.wished(member, None, PAID_AT, again=False)],
        [repository.wished(member.replace(roles=("ADMIN",)), None, PAID_AT, again=False)],
        UserChanged,
    )


def _staff_wished(database: Database) -> Race:
    repository, member = StaffRepository(database), _member()
    both, none = (member.changed(**BY, roles=roles) for roles in (("ADMIN", "OPERATOR"), ()))
    return Race(
        [repository.wished(member, None, PAID_AT, again=False)],
        [repository.wished(both, member, PAID_AT, again=False)],
        [repository.wished(none, member, PAID_AT, again=False)],
        UserChanged,
    )


def _staff_taken(database: Database) -> Race:
    repository, member = StaffRepository(database), _member()
    stands = repository.wished(member, None, PAID_AT, again=False)
    seen = str(stands.item["dueAt"])
    first, second = (repository.taken(member, seen, PAID_AT + MINUTE * n) for n in (1, 2))
    return Race([stands], [first], [second], TakenAlready)


def _staff_applied_of_an_old_wish(database: Database) -> Race:
    repository, member = StaffRepository(database), _member()
    stands = repository.wished(member, None, PAID_AT, again=False)
    wished = repository.wished(member.changed(**BY, roles=()), member, PAID_AT, again=False)
    return Race([stands], [wished], [repository.applied(member, PAID_AT)], UserChanged)


def _staff_applied_by_who_was_slow(database: Database) -> Race:
    repository, member = StaffRepository(database), _member()
    stands = repository.wished(member, None, PAID_AT, again=False)
    taken = repository.taken(member, str(stands.item["dueAt"]), PAID_AT + MINUTE)
    return Race([stands], [taken], [repository.applied(member, PAID_AT)], UserChanged)


def _staff_applied_to_be_done_again(database: Database) -> Race:
    repository, member = StaffRepository(database), _member()
    wished = repository.wished(member, None, PAID_AT, again=True)
    return Race([], [wished], [repository.applied(member, PAID_AT)], UserChanged)


def _first_unit(database: Database) -> Race:
    revised = HierarchyRepository(database).revised(new_id(), 0)
    return Race([], [revised], [revised], HierarchyChanged)


def _later_unit(database: Database) -> Race:
    repository, tenant_id = HierarchyRepository(database), new_id()
    revised = repository.revised(tenant_id, 1)
    return Race([repository.revised(tenant_id, 0)], [revised], [revised], HierarchyChanged)


def _tenant_made(database: Database) -> Race:
    repository, tenant = TenantRepository(database), a_tenant()
    other = a_tenant(id=tenant.id, email=f"{new_id()}@b.example", organization_name=None)
    return Race([], repository.new(tenant), repository.new(other), TenantExists)


def _tenant_changed(database: Database) -> Race:
    repository, tenant = TenantRepository(database), a_tenant()
    dev, sit = (repository.changed(tenant, tenant.changed(**BY, environment=name)) for name in ("dev", "sit"))
    return Race(repository.new(tenant), dev, sit, TenantChanged)


def _tenant_deleted(database: Database) -> Race:
    repository, tenant = TenantRepository(database), a_tenant()
    deleted = tenant.changed(**BY, deleted=Hold(since=PAID_AT, by="test"))
    return Race(
        repository.new(tenant), repository.changed(tenant, deleted), [repository.still_open(tenant.id)], Conflict
    )


def _tenant_that_never_was(database: Database) -> Race:
    return Race([], [], [TenantRepository(database).still_open(new_id())], Conflict)


def _name_that_another_holds_by_now(database: Database) -> Race:
    repository, tenant = TenantRepository(database), a_tenant()
    guard = {"PK": f"UNIQUE#EMAIL#{tenant.email}", "SK": "METADATA", "tenantId": new_id()}
    moved = repository.changed(tenant, tenant.changed(**BY, email=f"{new_id()}@b.example"))
    return Race(repository.new(tenant), [Put(TENANTS, guard, condition=None)], moved, ConditionFailed)


def _asked(database: Database) -> Race:
    repository, email = RegistrationRepository(database), f"{new_id()}@b.example"
    first = repository.asked(email, now=PAID_AT, quiet_since=PAID_AT - MINUTE)
    second = repository.asked(email, now=PAID_AT + SECOND, quiet_since=PAID_AT + SECOND - MINUTE)
    return Race([], [first], [second], AskedAlready)


def _link(email: str | None = None) -> MailedLink:
    return MailedLink(
        token_hash=hash_of(new_id()), tenant_id=new_id(), email=email or f"{new_id()}@b.example",
        purpose="REGISTRATION", mailed_at=PLACED_AT, valid_until=PAID_AT + timedelta(days=1),
    )  # fmt: skip


def _kept(link: MailedLink) -> Put:
    return Put(TENANTS, item_of(link, (f"TOKEN#{link.token_hash}", "METADATA")))


def _claimed_while_claimed(database: Database) -> Race:
    repository, link = RegistrationRepository(database), _link()
    first = repository.claimed(Claim(link, PAID_AT + MINUTE), now=PAID_AT)
    second = repository.claimed(Claim(link, PAID_AT + 2 * MINUTE), now=PAID_AT + MINUTE - SECOND)
    return Race([], [first], [second], LinkTaken)


def _claimed_after_a_later_link_was_used(database: Database) -> Race:
    repository, link = RegistrationRepository(database), _link()
    claim = Claim(_link(link.email), PAID_AT + MINUTE)
    stands: list[Write] = [_kept(claim.link), repository.claimed(claim, now=PAID_AT)]
    second = repository.claimed(Claim(link, PAID_AT + MINUTE), now=PAID_AT + SECOND)
    return Race(stands, repository.used(claim, now=PAID_AT), [second], LinkTaken)


def _used_after_the_lease(database: Database) -> Race:
    repository, link = RegistrationRepository(database), _link()
    late, now = Claim(link, PAID_AT + MINUTE), Claim(link, PAID_AT + 2 * MINUTE)
    stands: list[Write] = [_kept(link), repository.claimed(late, now=PAID_AT)]
    taken_over = repository.claimed(now, now=PAID_AT + MINUTE)
    return Race(stands, [taken_over], repository.used(late, now=PAID_AT + MINUTE), LinkTaken)


def _used_twice(database: Database) -> Race:
    repository, claim = RegistrationRepository(database), Claim(_link(), PAID_AT + MINUTE)
    used = repository.used(claim, now=PAID_AT)
    return Race([_kept(claim.link), repository.claimed(claim, now=PAID_AT)], used, used, LinkTaken)


def _sealed(database: Database, **other: str) -> Race:
    repository, ((entry, *_), _) = AuditRepository(database), a_chain(1)
    entry = entry.replace(tenant_id=new_id(), seal=None)
    seal = Seal(sequence=1, previous="0" * 64, hash="1" * 64)
    stored = repository.new(entry)
    first = [] if other else [repository.sealed(entry, seal)]
    return Race([stored], first, [repository.sealed(entry.replace(**other), seal)], ConditionFailed)


def _sealed_with_other_details(database: Database) -> Race:
    return _sealed(database, digest="f" * 64)


def _head_of_a_new_chain(database: Database) -> Race:
    repository, trail = AuditRepository(database), new_id()
    heads = [SIGNER.sign(trail, Seal(sequence=n, previous="0" * 64, hash=f"{n}" * 64), PAID_AT) for n in (1, 2)]
    return Race([], [repository.head(heads[0], None)], [repository.head(heads[1], None)], HeadMoved)


def _head_of_a_longer_chain(database: Database) -> Race:
    repository, trail = AuditRepository(database), new_id()
    one, two, three = (
        SIGNER.sign(trail, Seal(sequence=n, previous="0" * 64, hash=f"{n}" * 64), PAID_AT) for n in (1, 2, 3)
    )
    return Race([repository.head(one, None)], [repository.head(two, one)], [repository.head(three, one)], HeadMoved)


RACES: list[Callable[[Database], Race]] = [
    _operation, _user_made, _user_changed, _user_removed_after_a_change, _user_changed_after_removal, _first_owner,
    _last_owners, _invited, _staff_made, _staff_wished, _staff_taken, _staff_applied_of_an_old_wish,
    _staff_applied_by_who_was_slow, _staff_applied_to_be_done_again, _first_unit, _later_unit, _tenant_made,
    _tenant_changed, _tenant_deleted, _tenant_that_never_was, _name_that_another_holds_by_now, _asked,
    _claimed_while_claimed, _claimed_after_a_later_link_was_used, _used_after_the_lease, _used_twice, _sealed,
    _sealed_with_other_details, _head_of_a_new_chain, _head_of_a_longer_chain,
]  # fmt: skip


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__.strip("_"))
async def test_who_comes_second_is_told_and_changes_nothing(
    shared_market: Market, race: Callable[[Database], Race]
) -> None:
    """Without its condition a write is the last one that counts, and what it was decided on is no longer so."""
    database = shared_market.services.database
    await race(database).run(database)
