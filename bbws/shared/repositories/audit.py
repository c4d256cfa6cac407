"""The audit trail, `TENANT#{tenantId} | EVENT#{timestamp}#{id}` in `bbws-tenants`: entries are added, never changed."""

import zlib

from bbws.shared.clock import iso
from bbws.shared.contracts.audit import AuditEntry
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.dynamo.database import Database, Key, Put
from bbws.shared.repositories.items import item_of, model_of

TABLE = "bbws-tenants"
# Entries wait for the sealer in so many partitions of the due index; all of a tenant's wait in the same.
SEAL_SHARDS = 4


class AuditRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def new(self, entry: AuditEntry) -> Put:
        due = {"dueKey": f"SEAL#{zlib.crc32(entry.tenant_id.encode()) % SEAL_SHARDS}", "dueAt": iso(entry.at)}
        return Put(TABLE, item_of(entry, _key(entry), **due))

    async def list_of_tenant(self, tenant_id: str, page: PageRequest) -> Page[AuditEntry]:
        """R-130, newest first."""
        found = await self._database.page(
            TABLE, page, partition=("PK", f"TENANT#{tenant_id}"), sort_prefix=("SK", "EVENT#"), newest_first=True
        )
        return Page([model_of(AuditEntry, item) for item in found.items], found.next_cursor)


def _key(entry: AuditEntry) -> Key:
    return f"TENANT#{entry.tenant_id}", f"EVENT#{iso(entry.at)}#{entry.id}"
