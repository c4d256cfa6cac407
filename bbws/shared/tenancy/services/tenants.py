"""Who the customers are, and what keeps one of them from being simply active.

Three holds, each placed and lifted by itself: parked, suspended, deleted. Placing one that stands, or lifting one that
does not, changes nothing: nothing is written or published.
"""

from datetime import datetime, timedelta

from bbws.shared.clock import Clock
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.tenancy.tenant_events import (
    TenantCreated,
    TenantDeleted,
    TenantEvent,
    TenantParked,
    TenantRestored,
    TenantResumed,
    TenantSuspended,
    TenantUnparked,
    TenantUpdated,
)
from bbws.shared.contracts.tenancy.tenants import (
    Environment,
    Hold,
    HoldKind,
    Tenant,
    TenantDraft,
    TenantPatch,
    TenantStatus,
)
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.errors import Conflict
from bbws.shared.tenancy.changes import Change, TenantChanges, event_of
from bbws.shared.tenancy.repositories.tenants import TenantExists, TenantRepository, tenant_deleted

# C-28: a deleted tenant can be restored for so long; then it is purged.
GRACE = timedelta(days=30)


class Tenants:
    def __init__(self, database: Database, outbox: Outbox, audit: AuditEntries, clock: Clock) -> None:
        self._outbox = outbox
        self._audit = audit
        self._tenants = TenantRepository(database)
        self._changes = TenantChanges(database, outbox, audit, clock)
        self._clock = clock

    async def get(self, tenant_id: str) -> Tenant:
        """Also a deleted one. Raises NotFound."""
        return await self._tenants.get(tenant_id)

    async def list_by_status(self, status: TenantStatus, page: PageRequest) -> Page[Tenant]:
        """The one that changed last first."""
        return await self._tenants.list_by_status(status, page)

    async def list_by_environment(self, environment: Environment, page: PageRequest) -> Page[Tenant]:
        """Newest first."""
        return await self._tenants.list_by_environment(environment, page)

    async def list_by_organization(self, name: str, page: PageRequest) -> Page[Tenant]:
        """One or none, however the name is spelt."""
        return await self._tenants.list_by_organization(name, page)

    async def list_by_email(self, email: str, page: PageRequest) -> Page[Tenant]:
        """One or none, however the address is spelt."""
        return await self._tenants.list_by_email(email, page)

    async def create(self, draft: TenantDraft, *, actor: str, tenant_id: str) -> Tenant:
        """A tenant that an operator made. Raises Conflict naming each field that another tenant has."""
        return await self._create(draft.model_dump(by_alias=False), actor, tenant_id)

    async def update(self, tenant_id: str, patch: TenantPatch, *, version: int, actor: str) -> Tenant:
        """The tenant says what `patch` says; a new e-mail has yet to be validated, unless somebody signs in already.

        Raises PreconditionFailed unless `version` is the newest, Conflict for a deleted tenant and, naming each field,
        for what another tenant has.
        """

        def decide(tenant: Tenant, _now: datetime) -> Change | None:
            _refuse_deleted(tenant)
            fields = {name: value for name, value in patch.changes.items() if value != getattr(tenant, name)}
            if "email" in fields and tenant.registration_status == "VALIDATED":
                fields["registration_status"] = "UNVALIDATED"
            return Change(fields, TenantUpdated) if fields else None

        return await self._changes.make(tenant_id, decide, actor=actor, action=TenantUpdated.TYPE, version=version)

    async def park(self, tenant_id: str, *, reason: str, actor: str) -> Tenant:
        """A wished pause. Raises Conflict for a tenant that is suspended or deleted."""
        return await self._hold(tenant_id, "parked", TenantParked, actor, reason)

    async def unpark(self, tenant_id: str, *, reason: str | None = None, actor: str) -> Tenant:
        return await self._release(tenant_id, "parked", TenantUnparked, actor, reason)

    async def suspend(self, tenant_id: str, *, reason: str, actor: str) -> Tenant:
        """For non-payment or abuse; also a parked one, which stays parked when it is resumed."""
        return await self._hold(tenant_id, "suspended", TenantSuspended, actor, reason)

    async def resume(self, tenant_id: str, *, reason: str | None = None, actor: str) -> Tenant:
        return await self._release(tenant_id, "suspended", TenantResumed, actor, reason)

    async def delete(self, tenant_id: str, *, version: int, actor: str) -> Tenant:
        """Gone for its users, and purged after 30 days; until then its e-mail and organisation stay taken, and it can
        be restored. Raises PreconditionFailed unless `version` is the newest."""
        return await self._hold(tenant_id, "deleted", TenantDeleted, actor, version=version)

    async def restore(self, tenant_id: str, *, reason: str | None = None, actor: str) -> Tenant:
        """As it was before it was deleted, other holds included. Raises Conflict once its purge was ordered."""
        return await self._release(tenant_id, "deleted", TenantRestored, actor, reason)

    async def _hold(
        self,
        tenant_id: str,
        kind: HoldKind,
        event: type[TenantEvent],
        actor: str,
        reason: str | None = None,
        version: int | None = None,
    ) -> Tenant:
        def decide(tenant: Tenant, now: datetime) -> Change | None:
            if kind != "deleted":
                _refuse_deleted(tenant)
            if kind == "parked" and tenant.suspended:
                raise Conflict(f"tenant {tenant.id} is suspended; resume it first")
            if getattr(tenant, kind):
                return None
            hold = Hold(since=now, by=actor, reason=reason)
            return Change({kind: hold} | ({"purge_at": now + GRACE} if kind == "deleted" else {}), event, reason)

        return await self._changes.make(tenant_id, decide, actor=actor, action=event.TYPE, version=version)

    async def _release(
        self, tenant_id: str, kind: HoldKind, event: type[TenantEvent], actor: str, reason: str | None
    ) -> Tenant:
        def decide(tenant: Tenant, _now: datetime) -> Change | None:
            (_refuse_purged if kind == "deleted" else _refuse_deleted)(tenant)
            if getattr(tenant, kind) is None:
                return None
            return Change({kind: None} | ({"purge_at": None} if kind == "deleted" else {}), event, reason)

        return await self._changes.make(tenant_id, decide, actor=actor, action=event.TYPE)

    async def _create(self, fields: dict[str, object], actor: str, tenant_id: str) -> Tenant:
        if repeated := await self._tenants.find(tenant_id):
            return repeated
        now = self._clock()
        tenant = Tenant.model_validate(
            fields | {"id": tenant_id, "date_created": now, "date_last_updated": now, "last_updated_by": actor}
        )
        try:
            writes = [*self._tenants.new(tenant), self._created(tenant, actor)]
            await self._outbox.commit(writes, [event_of(TenantCreated, tenant)])
        except TenantExists:
            return await self.get(tenant_id)
        return tenant

    def _created(self, tenant: Tenant, actor: str) -> Put:
        subject = f"tenants/{tenant.id}"
        return self._audit.entry("TENANT_CREATED", tenant_id=tenant.id, subject=subject, actor=actor, after=tenant)


def _refuse_deleted(tenant: Tenant) -> None:
    _refuse_purged(tenant)
    if tenant.deleted:
        raise tenant_deleted(tenant.id)


def _refuse_purged(tenant: Tenant) -> None:
    if tenant.purge_operation_id:
        raise Conflict(f"tenant {tenant.id} {'was' if tenant.purged_at else 'is being'} purged; nothing brings it back")
