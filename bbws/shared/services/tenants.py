"""Who the customers are."""

from datetime import datetime

from bbws.shared.audit import AuditTrail
from bbws.shared.clock import Clock
from bbws.shared.contracts.tenant_events import TenantCreated, TenantData
from bbws.shared.contracts.tenants import Tenant, TenantDraft
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.errors import NotFound
from bbws.shared.logging import bound_value
from bbws.shared.outbox import Outbox
from bbws.shared.repositories.tenants import TenantExists, TenantRepository


class Tenants:
    def __init__(self, database: Database, outbox: Outbox, audit: AuditTrail, clock: Clock) -> None:
        self._outbox = outbox
        self._audit = audit
        self._tenants = TenantRepository(database)
        self._clock = clock

    async def get(self, tenant_id: str) -> Tenant:
        tenant = await self._tenants.find(tenant_id)
        if tenant is None:
            raise NotFound(f"there is no tenant {tenant_id}")
        return tenant

    async def create(self, draft: TenantDraft, *, actor: str, tenant_id: str) -> Tenant:
        """A tenant that an operator made. Raises Conflict naming each field that another tenant has."""
        return await self._create(draft.model_dump(by_alias=False), actor, tenant_id)

    async def _create(self, fields: dict[str, object], actor: str, tenant_id: str) -> Tenant:
        if repeated := await self._tenants.find(tenant_id):
            return repeated
        now = self._clock()
        tenant = Tenant.model_validate(
            fields | {"id": tenant_id, "date_created": now, "date_last_updated": now, "last_updated_by": actor}
        )
        try:
            await self._outbox.commit([*self._tenants.new(tenant), self._created(tenant, actor)], [_event(tenant, now)])
        except TenantExists:
            return await self.get(tenant_id)
        return tenant

    def _created(self, tenant: Tenant, actor: str) -> Put:
        subject = f"tenants/{tenant.id}"
        return self._audit.entry("TENANT_CREATED", tenant_id=tenant.id, subject=subject, actor=actor, after=tenant)


def _event(tenant: Tenant, now: datetime) -> TenantCreated:
    return TenantCreated.of(
        TenantData(tenant=tenant),
        tenant_id=tenant.id,
        time=now,
        correlation_id=bound_value("correlation_id") or tenant.id,
        traceparent=bound_value("traceparent"),
    )
