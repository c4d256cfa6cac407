"""One change of one tenant: its new state, its event and its audit entry, all stored or none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from bbws.shared.clock import Clock
from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.tenancy.tenant_events import (
    RegistrationData,
    RegistrationRequested,
    TenantData,
    TenantEvent,
)
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.database import Database, Write
from bbws.shared.dynamo.retries import retry_lost_race
from bbws.shared.errors import PreconditionFailed
from bbws.shared.logging import bound_value, get_logger
from bbws.shared.tenancy.repositories.tenants import TenantChanged, TenantRepository

log = get_logger(__name__)

EventT = TypeVar("EventT", bound=Envelope)


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a tenant: its new `fields`, the `event` that tells it, and what else is `written` with it."""

    fields: Mapping[str, object]
    event: type[TenantEvent] | None
    reason: str | None = None
    written: Sequence[Write] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """The tenant as it will be; `writes` and `events` make it so, in one transaction with what belongs to it."""

    tenant: Tenant
    writes: Sequence[Write]
    events: Sequence[TenantEvent]


# Says what is to be done with the tenant as it is at this moment; None where nothing is to change.
Decide = Callable[[Tenant, datetime], Change | None]


class TenantChanges:
    def __init__(self, database: Database, outbox: Outbox, audit: AuditEntries, clock: Clock) -> None:
        self._tenants = TenantRepository(database)
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    async def make(
        self, tenant_id: str, decide: Decide, *, actor: str, action: str, version: int | None = None
    ) -> Tenant:
        """The tenant as it is afterwards. `decide` is asked again whenever another change came first.

        `action` names the change in the audit trail. Raises NotFound, and PreconditionFailed unless `version`, where
        one is given, is the newest.
        """

        async def attempt() -> Tenant:
            tenant = await self._tenants.get(tenant_id)
            if version not in (None, tenant.version):
                raise PreconditionFailed(f"tenant {tenant_id} is at version {tenant.version}, not {version}")
            change = decide(tenant, self._clock())
            if change is None:
                return tenant
            prepared = self.prepared(tenant, change, actor=actor, action=action)
            await self._outbox.commit(prepared.writes, prepared.events)
            log.info("tenant changed", tenant_id=tenant.id, action=action, status=prepared.tenant.status)
            return prepared.tenant

        return await retry_lost_race(attempt, TenantChanged)

    def prepared(self, tenant: Tenant, change: Change, *, actor: str, action: str) -> Prepared:
        """What makes `change` of the tenant as it was read; raises TenantChanged in its transaction where another
        change came first."""
        changed = tenant.changed(by=actor, at=self._clock(), **change.fields)
        entry = self._audit.entry(
            action,
            tenant_id=tenant.id,
            subject=f"tenants/{tenant.id}",
            actor=actor,
            before=tenant,
            after=changed,
            reason=change.reason,
        )
        events = [event_of(change.event, changed, change.reason)] if change.event else []
        return Prepared(changed, [*self._tenants.changed(tenant, changed), *change.written, entry], events)


def event_of(kind: type[TenantEvent], tenant: Tenant, reason: str | None = None) -> TenantEvent:
    """The event that the tenant, as it is after its change, makes."""
    return _event(kind, TenantData(tenant=tenant, reason=reason), tenant, tenant.date_last_updated)


def link_requested(data: RegistrationData, tenant: Tenant, now: datetime) -> RegistrationRequested:
    """The event that makes `notify` mail a link."""
    return _event(RegistrationRequested, data, tenant, now)


def _event(kind: type[EventT], data: Contract, tenant: Tenant, time: datetime) -> EventT:
    return kind.of(
        data,
        tenant_id=tenant.id,
        time=time,
        correlation_id=bound_value("correlation_id") or tenant.id,
        traceparent=bound_value("traceparent"),
    )
