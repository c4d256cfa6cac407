"""Who may act for a tenant."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from bbws.shared.clock import Clock
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.tenancy.tenant_events import RegistrationData, RegistrationRequested, TenantUpdated
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.contracts.tenancy.users import TenantRole, UserAssignment, UserAssignmentDraft
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.database import Database, Put, Write
from bbws.shared.dynamo.retries import retry_lost_race
from bbws.shared.errors import Conflict, NotFound, PreconditionFailed
from bbws.shared.integrations.cognito import DirectoryUser, UserDirectory
from bbws.shared.tenancy.changes import Change, TenantChanges, link_requested
from bbws.shared.tenancy.repositories.tenants import TenantChanged, TenantRepository
from bbws.shared.tenancy.repositories.users import (
    OwnersChanged,
    UserAssigned,
    UserChanged,
    UserInvitedAlready,
    UserRepository,
)

# Anybody can own a tenant, and put somebody in and out of it: more often than this nobody is mailed for it.
INVITED_AGAIN_AFTER = timedelta(minutes=10)
LAST_OWNER = "this is the last owner; make somebody else owner first"


class Users:
    """`actor` is who acts, as the audit trail names them. A tenant that is deleted changes no more: Conflict."""

    def __init__(
        self, database: Database, directory: UserDirectory, outbox: Outbox, audit: AuditEntries, clock: Clock
    ) -> None:
        self._users = UserRepository(database)
        self._tenants = TenantRepository(database)
        self._changes = TenantChanges(database, outbox, audit, clock)
        self._directory = directory
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    async def role_in(self, tenant_id: str, user_id: str) -> TenantRole | None:
        """None where the user has no role in the tenant, or the tenant does not exist or is deleted."""
        tenant, assignment = await asyncio.gather(self._tenants.find(tenant_id), self._users.find(tenant_id, user_id))
        if tenant is None or tenant.status == "DELETED" or assignment is None:
            return None
        return assignment.role

    async def get(self, tenant_id: str, user_id: str) -> UserAssignment:
        assignment = await self._users.find(tenant_id, user_id)
        if assignment is None:
            raise NotFound(f"there is no user {user_id} in this tenant")
        return assignment

    async def list_of_tenant(self, tenant_id: str, page: PageRequest) -> Page[UserAssignment]:
        _, found = await asyncio.gather(self._tenants.get(tenant_id), self._users.list_of_tenant(tenant_id, page))
        return found

    async def list_of_user(self, user_id: str, page: PageRequest) -> Page[UserAssignment]:
        """The user's role in each of their tenants."""
        return await self._users.list_of_user(user_id, page)

    async def assign(self, tenant_id: str, draft: UserAssignmentDraft, *, actor: str) -> tuple[UserAssignment, bool]:
        """The user has the role, and whether that is new; who has no password yet is invited by mail.

        The tenant's first user makes it REGISTERED. Raises Conflict for a user who has another role in the tenant.
        """
        await self._tenants.get_open(tenant_id)
        user = await self._directory.find_by_email(draft.email) or await self._directory.create(draft.email)
        return await retry_lost_race(
            lambda: self._assign(tenant_id, user, draft.role, actor), UserAssigned, OwnersChanged, TenantChanged
        )

    async def change_role(
        self, tenant_id: str, user_id: str, role: TenantRole, *, version: int, actor: str
    ) -> UserAssignment:
        """Raises PreconditionFailed unless `version` is the newest, Conflict where no owner would be left."""
        return await retry_lost_race(
            lambda: self._change_role(tenant_id, user_id, role, version, actor), UserChanged, OwnersChanged
        )

    async def remove(self, tenant_id: str, user_id: str, *, version: int, actor: str) -> None:
        """Raises PreconditionFailed unless `version` is the newest, Conflict where no owner would be left."""
        await retry_lost_race(lambda: self._remove(tenant_id, user_id, version, actor), UserChanged, OwnersChanged)

    async def _assign(
        self, tenant_id: str, user: DirectoryUser, role: TenantRole, actor: str
    ) -> tuple[UserAssignment, bool]:
        tenant, standing, owners = await asyncio.gather(
            self._tenants.get_open(tenant_id),
            self._users.find(tenant_id, user.user_id),
            self._users.count_owners(tenant_id),
        )
        if standing:
            return _as_wished(standing, role), False
        now = self._clock()
        assignment = UserAssignment(
            tenant_id=tenant_id, user_id=user.user_id, email=user.email, role=role,
            date_created=now, date_last_updated=now, last_updated_by=actor,
        )  # fmt: skip
        writes: list[Write] = [self._users.new(assignment), self._entry("USER_ASSIGNED", actor, after=assignment)]
        if role == "OWNER":
            writes.append(self._users.owners_counted(tenant_id, owners, owners + 1))
        registered, events = self._registered(tenant, actor)
        await self._commit([*writes, *registered], events, tenant, user, now)
        return assignment, True

    async def _commit(
        self, writes: list[Write], events: Sequence[Envelope], tenant: Tenant, user: DirectoryUser, now: datetime
    ) -> None:
        """With the invitation of who has no password yet, unless the link of an earlier one has just been mailed."""
        if not user.has_password:
            invited = self._users.invited(tenant.id, user.user_id, now=now, quiet_since=now - INVITED_AGAIN_AFTER)
            with suppress(UserInvitedAlready):
                await self._outbox.commit([*writes, invited], [*events, _invitation(tenant, user.email, now)])
                return
        await self._outbox.commit(writes, events)

    def _registered(self, tenant: Tenant, actor: str) -> tuple[Sequence[Write], Sequence[Envelope]]:
        """The tenant has a user now; one that had before only must not have been deleted meanwhile."""
        if tenant.registration_status == "REGISTERED":
            return [self._tenants.still_open(tenant.id)], []
        change = Change({"registration_status": "REGISTERED"}, TenantUpdated)
        registered = self._changes.prepared(tenant, change, actor=actor, action=TenantUpdated.TYPE)
        return registered.writes, registered.events

    async def _change_role(
        self, tenant_id: str, user_id: str, role: TenantRole, version: int, actor: str
    ) -> UserAssignment:
        tenant, standing, owners = await self._as_it_stands(tenant_id, user_id, version)
        if standing.role == role:
            return standing
        changed = standing.changed(by=actor, at=self._clock(), role=role)
        entry = self._entry("USER_ROLE_CHANGED", actor, before=standing, after=changed)
        counted = self._owner_gone(standing, owners) if standing.role == "OWNER" else []
        if role == "OWNER":
            counted = [self._users.owners_counted(tenant_id, owners, owners + 1)]
        await self._outbox.commit(
            [self._users.changed(changed), *counted, self._tenants.still_open(tenant.id), entry], []
        )
        return changed

    async def _remove(self, tenant_id: str, user_id: str, version: int, actor: str) -> None:
        tenant, standing, owners = await self._as_it_stands(tenant_id, user_id, version)
        counted = self._owner_gone(standing, owners) if standing.role == "OWNER" else []
        entry = self._entry("USER_REMOVED", actor, before=standing)
        await self._outbox.commit(
            [self._users.removed(standing), *counted, self._tenants.still_open(tenant.id), entry], []
        )

    def _owner_gone(self, owner: UserAssignment, owners: int) -> list[Write]:
        if owners <= 1:
            raise Conflict(LAST_OWNER)
        return [self._users.owners_counted(owner.tenant_id, owners, owners - 1)]

    async def _as_it_stands(self, tenant_id: str, user_id: str, version: int) -> tuple[Tenant, UserAssignment, int]:
        tenant, standing, owners = await asyncio.gather(
            self._tenants.get_open(tenant_id), self.get(tenant_id, user_id), self._users.count_owners(tenant_id)
        )
        if standing.version != version:
            raise PreconditionFailed(f"user {user_id} is at version {standing.version}, not {version}")
        return tenant, standing, owners

    def _entry(
        self,
        action: str,
        actor: str,
        *,
        before: UserAssignment | None = None,
        after: UserAssignment | None = None,
    ) -> Put:
        assignment = after or before
        assert assignment is not None, "an entry is about somebody"
        subject = f"tenants/{assignment.tenant_id}/users/{assignment.user_id}"
        return self._audit.entry(
            action, tenant_id=assignment.tenant_id, subject=subject, actor=actor, before=before, after=after
        )


def _as_wished(standing: UserAssignment, role: TenantRole) -> UserAssignment:
    if standing.role != role:
        raise Conflict(f"this user is {standing.role} of the tenant already; change that role instead")
    return standing


def _invitation(tenant: Tenant, email: str, now: datetime) -> RegistrationRequested:
    data = RegistrationData(email=email, purpose="INVITATION", organization_name=tenant.organization_name)
    return link_requested(data, tenant, now)
