"""Everything that is stored of a tenant, in `bbws-tenants` and `orders`: read whole, and freed of what is personal."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from bbws.shared.contracts.audit import PURGED
from bbws.shared.contracts.pages import MAX_PAGE_SIZE, PageRequest
from bbws.shared.contracts.sales.orders import BillingAddress, Order
from bbws.shared.core.items import at_version, model_of
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Delete, Key, Update, Write
from bbws.shared.dynamo.keys import METADATA, ORDERS, TENANTS, order_partition, tenant_partition
from bbws.shared.errors import NotYet

ERASED = "erased"
# The tenant itself, its operations, and the end of the hash chain of its trail.
_KEPT = frozenset({METADATA, "OP", "SEAL"})
# An ITN that nobody has judged yet is needed as it came; judging takes as long as PayFast is out of reach.
_NOTICE_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class StoredRecord:
    table: str
    item: Item

    @property
    def key(self) -> Key:
        return self.item["PK"], self.item["SK"]

    @property
    def kind(self) -> str:
        """`USER`, `ORDER`, `EVENT` …: what the sort key starts with."""
        return str(self.item["SK"]).partition("#")[0]

    @property
    def is_audit_entry(self) -> bool:
        return self.table == TENANTS and self.kind == "EVENT"


class TenantRecordRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def everything(self, tenant_id: str) -> AsyncIterator[StoredRecord]:
        """The tenant and all that belongs to it, each order followed by what stands beside it."""
        async for record in self._partition(TENANTS, tenant_partition(tenant_id)):
            yield record
        async for record in self._partition(ORDERS, tenant_partition(tenant_id)):
            yield record
            if record.kind == "ORDER":
                async for part in self._partition(ORDERS, order_partition(tenant_id, record.item["id"])):
                    yield part

    async def _partition(self, table: str, partition: str) -> AsyncIterator[StoredRecord]:
        page = PageRequest(MAX_PAGE_SIZE)
        while True:
            found = await self._database.page(table, page, partition=("PK", partition))
            for item in found.items:
                yield StoredRecord(table, item)
            if found.next_cursor is None:
                return
            page = PageRequest(MAX_PAGE_SIZE, found.next_cursor)


def stand_in_email(tenant_id: str) -> str:
    """An address that still parses, belongs to one tenant, and reaches nobody (RFC 2606)."""
    return f"{tenant_id}@{ERASED}.example"


def erasure(record: StoredRecord, tenant_id: str, *, now: datetime, actor: str) -> Write | None:
    """The write that frees a record of what is personal; None where there is nothing, or where the law keeps it.

    Invoices stay whole: a tax invoice names its recipient. Raises NotYet for a payment notice that is still needed.
    """
    if record.table == TENANTS:
        return _of_tenant(record)
    if record.kind == "ORDER":
        return _order(record, tenant_id, now, actor)
    if record.kind == "ITN":
        return _notice(record)
    if record.kind == "EMAIL" and "recipients" in record.item:
        return Update(record.table, record.key, {"recipients": None})
    return None


def _of_tenant(record: StoredRecord) -> Write | None:
    """Audit entries stay, with the digest of their details, on which the hash chain stands; who was a user goes.

    Without the entry PURGED in the same trail, `bbws audit verify` finds that details are missing.
    """
    if record.is_audit_entry:
        is_told = "details" in record.item and record.item["action"] != PURGED
        return Update(record.table, record.key, {"details": None}) if is_told else None
    return None if record.kind in _KEPT else Delete(record.table, record.key)


def _order(record: StoredRecord, tenant_id: str, now: datetime, actor: str) -> Write | None:
    order, stand_in = model_of(Order, record.item), stand_in_email(tenant_id)
    if order.customer_email == stand_in:
        return None
    nowhere = BillingAddress(
        name=ERASED, line1=ERASED, city=ERASED, postal_code="0", country=order.billing_address.country
    )
    erased = order.changed(by=actor, at=now, customer_email=stand_in, billing_address=nowhere)
    fields = {"customer_email", "billing_address", "date_last_updated", "last_updated_by", "version"}
    changes = erased.model_dump(mode="json", include=fields, exclude_none=True)
    return Update(record.table, record.key, changes, **at_version(order.version))


def _notice(record: StoredRecord) -> Write | None:
    """PayFast's notice names the payer; what was judged of it is said by its other fields."""
    if "dueKey" in record.item:
        raise NotYet("a payment notice of this tenant is not judged yet", _NOTICE_RETRY_S)
    return Update(record.table, record.key, {"rawBody": ""}) if record.item["rawBody"] else None
