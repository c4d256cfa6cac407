"""The kinds of items that stand under a tenant, or beside an order: their keys, and what becomes of each in a purge.

Keys of such items are made here alone (`tests/architecture` holds that), and a kind cannot be declared without saying
what of it is personal: so no feature can forget to. `bootstrap` lists the kinds of every area.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Delete, Key, Write
from bbws.shared.dynamo.keys import order_partition, tenant_partition


@dataclass(frozen=True, slots=True)
class Purge:
    """Of whom, when, and who carries it out."""

    tenant_id: str
    at: datetime
    actor: str

    @property
    def stand_in_email(self) -> str:
        """An address that still parses, belongs to one tenant, and reaches nobody (RFC 2606)."""
        return f"{self.tenant_id}@erased.example"


@dataclass(frozen=True, slots=True)
class StoredItem:
    table: str
    item: Item

    @property
    def key(self) -> Key:
        return self.item["PK"], self.item["SK"]

    @property
    def kind(self) -> str:
        """`USER`, `ORDER`, `EVENT` …: what the sort key starts with."""
        return str(self.item["SK"]).partition("#")[0]


# The write that frees an item of what is personal; None where nothing is (any more). Raises NotYet for what is needed.
Erasure = Callable[[StoredItem, Purge], Write | None]


def is_deleted(stored: StoredItem, _purge: Purge) -> Write | None:
    """For what nobody may keep once the tenant is gone."""
    return Delete(stored.table, stored.key)


def is_kept(_stored: StoredItem, _purge: Purge) -> Write | None:
    """For what holds nothing personal, or what the law keeps: say at the kind which of the two."""
    return None


class Range(TypedDict):
    """Where all items of a kind stand, as `Database.page` and its like take it."""

    table: str
    partition: tuple[str, str]
    sort_prefix: tuple[str, str]


@dataclass(frozen=True, slots=True)
class TenantItems:
    """Items `TENANT#{tenantId} | {name}` or `{name}#…`.

    With `erased_last` they are erased when the trail says that the tenant was purged. `beneath` names the partition
    that belongs to one of them, where there is one.
    """

    table: str
    name: str
    erasure: Erasure
    erased_last: bool = False
    beneath: Callable[[Item], str] | None = None

    def key(self, tenant_id: str, *parts: str) -> Key:
        return tenant_partition(tenant_id), "#".join((self.name, *parts))

    def of(self, tenant_id: str) -> Range:
        return _range(self.table, tenant_partition(tenant_id), self.name)


@dataclass(frozen=True, slots=True)
class OrderItems:
    """Items `TENANT#{tenantId}#ORDER#{orderId} | {name}#…`, beside the order."""

    table: str
    name: str
    erasure: Erasure
    erased_last: bool = False

    def key(self, tenant_id: str, order_id: str, *parts: str) -> Key:
        return order_partition(tenant_id, order_id), "#".join((self.name, *parts))

    def of(self, tenant_id: str, order_id: str) -> Range:
        return _range(self.table, order_partition(tenant_id, order_id), self.name)


Kind = TenantItems | OrderItems


def _range(table: str, partition: str, name: str) -> Range:
    return {"table": table, "partition": ("PK", partition), "sort_prefix": ("SK", f"{name}#")}
