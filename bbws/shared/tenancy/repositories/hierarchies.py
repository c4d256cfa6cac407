"""Hierarchies in `bbws-tenants`: `TENANT#{tenantId} | HIERARCHY#{division}#{group}#{team}`, made of ids, so that a new
name moves no item.

`TENANT#{tenantId} | HIERARCHY` counts the changes. It sorts before all units, and every change is conditional on it:
what was decided on a tree that somebody else changed meanwhile is not written.
"""

from dataclasses import dataclass

from bbws.shared.contracts.tenancy.hierarchies import HierarchyUnit
from bbws.shared.core.items import item_of, model_of
from bbws.shared.core.tenant_items import TenantItems, is_deleted
from bbws.shared.dynamo.database import Database, Delete, Key, Put, Update, Write
from bbws.shared.dynamo.keys import TENANTS

_HIERARCHIES = TenantItems(TENANTS, "HIERARCHY", is_deleted)
KINDS = (_HIERARCHIES,)


class HierarchyChanged(Exception):
    """Somebody else changed the hierarchy since it was read."""


@dataclass(frozen=True, slots=True)
class StandingHierarchy:
    revision: int
    units: tuple[HierarchyUnit, ...]


class HierarchyRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: str) -> StandingHierarchy:
        """Root first: units read after it are at least as new as its revision."""
        partition, root_key = _HIERARCHIES.key(tenant_id)
        items = await self._database.partition(TENANTS, ("PK", partition), sort_prefix=("SK", root_key))
        root = next((item for item in items if item["SK"] == root_key), None)
        units = tuple(model_of(HierarchyUnit, item) for item in items if item["SK"] != root_key)
        return StandingHierarchy(root["revision"] if root else 0, units)

    def revised(self, tenant_id: str, revision: int) -> Write:
        """One more than `revision`; stands in each transaction that changes a unit."""
        key, changed = _HIERARCHIES.key(tenant_id), HierarchyChanged(tenant_id)
        if not revision:
            return Put(TENANTS, {"PK": key[0], "SK": key[1], "revision": 1}, conflict=changed)
        return Update(
            TENANTS,
            key,
            {"revision": revision + 1},
            condition="revision = :before",
            values={":before": revision},
            conflict=changed,
        )

    def new(self, unit: HierarchyUnit) -> Put:
        return Put(TENANTS, item_of(unit, _key(unit)), conflict=HierarchyChanged(unit.tenant_id))

    def renamed(self, unit: HierarchyUnit) -> Update:
        fields = {"name", "date_last_updated", "last_updated_by", "version"}
        return Update(
            TENANTS,
            _key(unit),
            unit.model_dump(mode="json", include=fields),
            conflict=HierarchyChanged(unit.tenant_id),
        )

    def removed(self, unit: HierarchyUnit) -> Delete:
        return Delete(TENANTS, _key(unit))


def _key(unit: HierarchyUnit) -> Key:
    return _HIERARCHIES.key(unit.tenant_id, *unit.path)
