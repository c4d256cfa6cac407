"""Everything that is stored of a tenant, in every table: read whole, and freed of what is personal.

What that is, each kind of items says for itself (`core/tenant_items.py`); here they are walked and asked.
"""

from collections.abc import AsyncIterator, Iterable

from bbws.shared.core.tenant_items import Kind, Purge, StoredItem, TenantItems
from bbws.shared.dynamo.database import Database, Write
from bbws.shared.dynamo.keys import tenant_partition
from bbws.shared.errors import BbwsError


class UndeclaredItem(BbwsError):
    """Nobody says what of it is personal: neither kept nor deleted can be right."""

    title = "Undeclared item"


class TenantRecordRepository:
    def __init__(self, database: Database, kinds: Iterable[Kind]) -> None:
        self._database = database
        self._kinds = {(kind.table, kind.name): kind for kind in kinds}

    async def everything(self, tenant_id: str) -> AsyncIterator[StoredItem]:
        """The tenant and all that belongs to it, each item followed by what stands beneath it."""
        tables = dict.fromkeys(kind.table for kind in self._kinds.values())
        for table in tables:
            async for stored in self._partition(table, tenant_partition(tenant_id)):
                yield stored
                kind = self._kinds.get((table, stored.kind))
                if isinstance(kind, TenantItems) and kind.beneath:
                    async for part in self._partition(table, kind.beneath(stored.item)):
                        yield part

    def erasure(self, stored: StoredItem, purge: Purge, *, last: bool) -> Write | None:
        """What frees the item of what is personal; None where there is nothing to do.

        `last`: of the kinds that are erased last, too. Raises NotYet for what is still needed, and UndeclaredItem.
        """
        kind = self._kinds.get((stored.table, stored.kind))
        if kind is None:
            raise UndeclaredItem(f"nobody declares {stored.kind} in {stored.table}: what of it is personal?")
        return kind.erasure(stored, purge) if last or not kind.erased_last else None

    async def _partition(self, table: str, partition: str) -> AsyncIterator[StoredItem]:
        async for page in self._database.pages(table, ("PK", partition)):
            for item in page:
                yield StoredItem(table, item)
