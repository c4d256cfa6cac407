"""People in `bbws-tenants`.

`TENANT#{tenantId} | USER#{userId}` is an assignment, `TENANT#platform | USER#{userId}` a member of staff, and
`TENANT#{tenantId} | INVITED#{userId}` says when somebody was invited last. How many
owners a tenant has stands in `TENANT#{tenantId} | OWNERS`, which every change of that number is conditional on: two
that go at the same moment cannot both believe that the other one stays.
"""

from datetime import datetime, timedelta

from bbws.shared.clock import iso
from bbws.shared.contracts.audit import PLATFORM
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.tenancy.users import StaffMember, UserAssignment
from bbws.shared.core.due import DONE, DueWork, readable
from bbws.shared.core.items import at_version, item_of, model_of
from bbws.shared.core.tenant_items import TenantItems, is_deleted
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Delete, Put, Update, Write
from bbws.shared.dynamo.keys import TENANTS

_USERS = TenantItems(TENANTS, "USER", is_deleted)
_INVITED = TenantItems(TENANTS, "INVITED", is_deleted)
_OWNERS = TenantItems(TENANTS, "OWNERS", is_deleted)
KINDS = (_USERS, _INVITED, _OWNERS)
_TO_APPLY = DueWork(TENANTS, "STAFF", shards=1)
INVITATION_KEPT = timedelta(days=1)


class UserAssigned(Exception):
    """The user has a role in the tenant already."""


class UserChanged(Exception):
    """The assignment has another version than the one that was read."""


class OwnersChanged(Exception):
    """The tenant has another number of owners than the one that was read."""


class UserInvitedAlready(Exception):
    """The user was invited to this tenant a moment ago."""


class UserRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str, user_id: str) -> UserAssignment | None:
        item = await self._database.find(TENANTS, _USERS.key(tenant_id, user_id))
        return model_of(UserAssignment, item) if item else None

    async def count_owners(self, tenant_id: str) -> int:
        item = await self._database.find(TENANTS, _OWNERS.key(tenant_id))
        return int(item["owners"]) if item else 0

    async def list_of_tenant(self, tenant_id: str, page: PageRequest) -> Page[UserAssignment]:
        """R-129."""
        found = await self._database.page(page=page, **_USERS.of(tenant_id))
        return Page([model_of(UserAssignment, item) for item in found.items], found.next_cursor)

    async def list_of_user(self, user_id: str, page: PageRequest) -> Page[UserAssignment]:
        """R-128, through an index that lags a moment behind the table."""
        partition = ("GSI1PK", f"USER#{user_id}")
        found = await self._database.page(TENANTS, page, partition=partition, index="GSI1")
        return Page([model_of(UserAssignment, item) for item in found.items], found.next_cursor)

    def new(self, assignment: UserAssignment) -> Put:
        key = _USERS.key(assignment.tenant_id, assignment.user_id)
        item = item_of(assignment, key, GSI1PK=f"USER#{assignment.user_id}", GSI1SK=key[0])
        return Put(TENANTS, item, conflict=UserAssigned(assignment.user_id))

    def invited(self, tenant_id: str, user_id: str, *, now: datetime, quiet_since: datetime) -> Update:
        """Raises UserInvitedAlready in its transaction when the user was invited after `quiet_since`."""
        return Update(
            TENANTS,
            _INVITED.key(tenant_id, user_id),
            {"invitedAt": iso(now), "expiresAt": int((now + INVITATION_KEPT).timestamp())},
            condition="attribute_not_exists(invitedAt) OR invitedAt <= :quietSince",
            values={":quietSince": iso(quiet_since)},
            conflict=UserInvitedAlready(user_id),
        )

    def changed(self, assignment: UserAssignment) -> Update:
        """Over the version before this one."""
        fields = {"role", "date_last_updated", "last_updated_by", "version"}
        return Update(
            TENANTS,
            _USERS.key(assignment.tenant_id, assignment.user_id),
            assignment.model_dump(mode="json", include=fields),
            **at_version(assignment.version - 1),
            conflict=UserChanged(assignment.user_id),
        )

    def removed(self, assignment: UserAssignment) -> Delete:
        return Delete(
            TENANTS,
            _USERS.key(assignment.tenant_id, assignment.user_id),
            **at_version(assignment.version),
            conflict=UserChanged(assignment.user_id),
        )

    def owners_counted(self, tenant_id: str, before: int, after: int) -> Write:
        """`after` owners where there were `before`; stands in each transaction that makes or takes an owner."""
        key, changed = _OWNERS.key(tenant_id), OwnersChanged(tenant_id)
        if not before:
            return Put(TENANTS, {"PK": key[0], "SK": key[1], "owners": after}, conflict=changed)
        return Update(
            TENANTS, key, {"owners": after}, condition="owners = :before", values={":before": before}, conflict=changed
        )


class StaffRepository:
    """`dueKey` marks a member whose groups in the user pool may not be as the record wishes yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user_id: str) -> StaffMember | None:
        item = await self._database.find(TENANTS, _USERS.key(PLATFORM, user_id))
        return model_of(StaffMember, item) if item else None

    async def is_due(self, user_id: str) -> bool:
        """Whether somebody may be applying the record at this moment."""
        item = await self._database.find(TENANTS, _USERS.key(PLATFORM, user_id))
        return item is not None and "dueAt" in item

    async def list_all(self, page: PageRequest) -> Page[StaffMember]:
        found = await self._database.page(page=page, **_USERS.of(PLATFORM))
        return Page([model_of(StaffMember, item) for item in found.items], found.next_cursor)

    async def list_due(self, now: datetime) -> list[tuple[StaffMember, str]]:
        """Those to apply again, each with the moment that it was due."""
        due = await _TO_APPLY.list_due(self._database, now)
        return [(member, item["dueAt"]) for item in due for member in readable(StaffMember, [item])]

    def wished(self, member: StaffMember, before: StaffMember | None, due_at: datetime, *, again: bool) -> Put:
        """The whole record over the version before it, due to be applied; `again`: even once it was applied."""
        due = {**_TO_APPLY.at(member.user_id, due_at), "again": True if again else None}
        item: Item = item_of(member, _USERS.key(PLATFORM, member.user_id), **due)
        changed = UserChanged(member.user_id)
        if before is None:
            return Put(TENANTS, item, conflict=changed)
        return Put(TENANTS, item, **at_version(before.version), conflict=changed)

    def taken(self, member: StaffMember, seen: str, due_at: datetime) -> Update:
        """Due again later: until then whoever wrote this applies it alone."""
        return _TO_APPLY.taken(_USERS.key(PLATFORM, member.user_id), seen, due_at, again=None)

    def applied(self, member: StaffMember, due_at: datetime) -> Update:
        """No longer due, unless something was wished since, somebody else took it, or it is to be done again."""
        return Update(
            TENANTS,
            _USERS.key(PLATFORM, member.user_id),
            DONE,
            condition="#version = :version AND dueAt = :due AND attribute_not_exists(again)",
            names={"#version": "version"},
            values={":version": member.version, ":due": iso(due_at)},
            conflict=UserChanged(member.user_id),
        )
