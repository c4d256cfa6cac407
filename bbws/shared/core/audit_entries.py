"""The audit trail, `TENANT#{tenantId} | EVENT#{timestamp}#{id}` in `bbws-tenants`: entries are added, never changed.

`TENANT#{tenantId} | SEAL` is the head of the trail's hash chain.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from bbws.shared.clock import iso
from bbws.shared.contracts.audit import PURGED, AuditEntry, Seal, SealHead
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.core.due import DONE, DueWork
from bbws.shared.core.items import BrokenItem, item_of, model_of
from bbws.shared.core.tenant_items import Purge, StoredItem, TenantItems, is_kept
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Key, Put, Update, Write
from bbws.shared.dynamo.keys import TENANTS

# Entries that are not in the hash chain yet; all of a tenant's wait in the same partition.
_UNSEALED = DueWork(TENANTS, "SEAL")


def _without_details(stored: StoredItem, _purge: Purge) -> Write | None:
    """Entries stay, with the digest of their details, on which the hash chain stands.

    Without the entry PURGED in the same trail, `bbws audit verify` finds that details are missing.
    """
    has_details = "details" in stored.item and stored.item["action"] != PURGED
    return Update(stored.table, stored.key, {"details": None}) if has_details else None


_ENTRIES = TenantItems(TENANTS, "EVENT", _without_details, erased_last=True)
# The end of the hash chain: numbers and hashes.
_HEAD = TenantItems(TENANTS, "SEAL", is_kept)
KINDS = (_ENTRIES, _HEAD)


class HeadMoved(Exception):
    """Another sealer extended the chain meanwhile."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An item of the trail; `entry` is None where it holds none, or one that belongs under another key."""

    key: Key
    entry: AuditEntry | None


class AuditRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def new(self, entry: AuditEntry) -> Put:
        return Put(TENANTS, item_of(entry, _key(entry), **_UNSEALED.at(entry.tenant_id, entry.at)))

    async def list_of_tenant(self, tenant_id: str, page: PageRequest) -> Page[AuditEntry]:
        """R-130, newest first."""
        found = await self._database.page(page=page, **_ENTRIES.of(tenant_id), newest_first=True)
        return Page([model_of(AuditEntry, item) for item in found.items], found.next_cursor)

    async def all_of_tenant(self, tenant_id: str) -> AsyncIterator[list[StoredEntry]]:
        """The whole trail, oldest first, in pages of at most 1 MB."""
        async for page in self._database.pages(**_ENTRIES.of(tenant_id)):
            yield [_stored(item) for item in page]

    async def due(self, now: datetime) -> AsyncIterator[list[StoredEntry]]:
        """What waits for the sealer, page by page."""
        async for page in _UNSEALED.pages(self._database, now):
            yield [_stored(item) for item in page]

    async def find_head(self, tenant_id: str) -> SealHead | None:
        """Raises BrokenItem for one that is no head."""
        item = await self._database.find(TENANTS, _HEAD.key(tenant_id))
        return model_of(SealHead, item) if item else None

    def head(self, head: SealHead, before: SealHead | None) -> Put:
        """The chain ends at `head`, where it ended at `before`."""
        item = item_of(head, _HEAD.key(head.tenant_id))
        moved = HeadMoved(head.tenant_id)
        if before is None:
            return Put(TENANTS, item, conflict=moved)
        return Put(
            TENANTS,
            item,
            condition="#sequence = :sequence AND #hash = :hash",
            names={"#sequence": "sequence", "#hash": "hash"},
            values={":sequence": before.sequence, ":hash": before.hash},
            conflict=moved,
        )

    def sealed(self, entry: AuditEntry, seal: Seal) -> Update:
        """The entry has its place in the chain, and waits no more."""
        return Update(
            TENANTS,
            _key(entry),
            {"seal": seal.model_dump(mode="json"), **DONE},
            condition="#digest = :digest AND attribute_not_exists(#seal)",
            names={"#digest": "digest", "#seal": "seal"},
            values={":digest": entry.digest},
        )


def _stored(item: Item) -> StoredEntry:
    key = item["PK"], item["SK"]
    try:
        entry = model_of(AuditEntry, item)
    except BrokenItem:
        return StoredEntry(key, None)
    return StoredEntry(key, entry if _key(entry) == key else None)


def _key(entry: AuditEntry) -> Key:
    return _ENTRIES.key(entry.tenant_id, iso(entry.at), entry.id)
