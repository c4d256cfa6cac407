"""What is stored of a tenant's changes, for tests to compare with what was done."""

from bbws.shared.contracts.audit import AuditEntry
from bbws.shared.contracts.events import EVENTS
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.tenancy.tenant_events import TenantEvent
from bbws.shared.core.audit_entries import AuditRepository
from bbws.shared.core.due import SHARDS
from bbws.shared.dynamo.database import Database
from bbws.shared.dynamo.keys import TENANTS


async def events_of(database: Database, tenant_id: str) -> list[TenantEvent]:
    """The tenant's events in the outbox, published or waiting, in the order of its versions."""
    found = []
    for shard in range(SHARDS):
        for row in await database.partition(TENANTS, ("PK", f"OUTBOX#{shard}")):
            event = EVENTS[row["schema"]].model_validate_json(row["envelope"])
            if event.tenantid == tenant_id and isinstance(event, TenantEvent):
                found.append(event)
    return sorted(found, key=lambda event: event.data.tenant.version)


async def trail_of(database: Database, tenant_id: str) -> list[AuditEntry]:
    """The tenant's audit entries, oldest first; those of one millisecond in the order of their versions."""
    page = await AuditRepository(database).list_of_tenant(tenant_id, PageRequest(limit=100))
    entries = [entry for entry in page.items if entry.subject == f"tenants/{tenant_id}"]
    return sorted(entries, key=lambda entry: (entry.at, entry.details.after.get("version", 0) if entry.details else 0))
