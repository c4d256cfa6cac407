"""How tenants are organised. Each change reads the whole hierarchy, decides, and is written if nobody was faster."""

import asyncio
from collections.abc import Iterable, Sequence

from bbws.shared.clock import Clock
from bbws.shared.contracts.base import normal_name
from bbws.shared.contracts.tenancy.hierarchies import (
    MAX_UNITS,
    Hierarchy,
    HierarchyUnit,
    HierarchyUnitDraft,
    UnitKind,
)
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.core.audit import AuditEntries
from bbws.shared.dynamo.database import Database, Write
from bbws.shared.dynamo.retries import retry_lost_race
from bbws.shared.errors import Conflict, FieldError, Invalid, NotFound, PreconditionFailed
from bbws.shared.tenancy.repositories.hierarchies import (
    HierarchyChanged,
    HierarchyRepository,
    StandingHierarchy,
)
from bbws.shared.tenancy.repositories.tenants import TenantRepository

_KINDS: Sequence[UnitKind] = ("DIVISION", "GROUP", "TEAM")


class Hierarchies:
    """`actor` is who acts, as the audit trail names them. A tenant that is deleted changes no more: Conflict."""

    def __init__(self, database: Database, audit: AuditEntries, clock: Clock) -> None:
        self._database = database
        self._hierarchies = HierarchyRepository(database)
        self._tenants = TenantRepository(database)
        self._audit = audit
        self._clock = clock

    async def tree(self, tenant_id: str) -> Hierarchy:
        _, standing = await asyncio.gather(self._tenants.get(tenant_id), self._hierarchies.get(tenant_id))
        return Hierarchy.of(tenant_id, standing.revision, standing.units)

    async def get(self, tenant_id: str, unit_id: str) -> HierarchyUnit:
        return _found(await self._hierarchies.get(tenant_id), unit_id)

    async def create(self, tenant_id: str, draft: HierarchyUnitDraft, *, actor: str, unit_id: str) -> HierarchyUnit:
        """A unit of this id, the same one again for the same id.

        Raises Invalid for a parent that is not there or is a team, Conflict for a name that a sibling has and for more
        than `MAX_UNITS` units.
        """
        return await retry_lost_race(lambda: self._create(tenant_id, draft, actor, unit_id), HierarchyChanged)

    async def rename(self, tenant_id: str, unit_id: str, name: str, *, version: int, actor: str) -> HierarchyUnit:
        """Raises PreconditionFailed unless `version` is the newest, Conflict for a name that a sibling has."""
        return await retry_lost_race(lambda: self._rename(tenant_id, unit_id, name, version, actor), HierarchyChanged)

    async def remove(self, tenant_id: str, unit_id: str, *, version: int, actor: str) -> None:
        """Raises PreconditionFailed unless `version` is the newest, Conflict while something is in the unit."""
        await retry_lost_race(lambda: self._remove(tenant_id, unit_id, version, actor), HierarchyChanged)

    async def _create(self, tenant_id: str, draft: HierarchyUnitDraft, actor: str, unit_id: str) -> HierarchyUnit:
        tenant, standing = await self._as_it_stands(tenant_id)
        if repeated := _find(standing.units, unit_id):
            return repeated
        path = (*_path_of_parent(standing.units, draft.parent_id), unit_id)
        if len(standing.units) >= MAX_UNITS:
            raise Conflict(f"a hierarchy has at most {MAX_UNITS} divisions, groups and teams")
        _refuse_taken(standing.units, draft.parent_id, draft.name)
        now = self._clock()
        unit = HierarchyUnit(
            id=unit_id, tenant_id=tenant_id, kind=_KINDS[len(path) - 1], name=draft.name, path=path,
            date_created=now, date_last_updated=now, last_updated_by=actor,
        )  # fmt: skip
        await self._write(tenant, standing, self._hierarchies.new(unit), None, unit, actor)
        return unit

    async def _rename(self, tenant_id: str, unit_id: str, name: str, version: int, actor: str) -> HierarchyUnit:
        tenant, standing = await self._as_it_stands(tenant_id)
        unit = _at_version(_found(standing, unit_id), version)
        if unit.name == name:
            return unit
        siblings = [other for other in standing.units if other.id != unit_id]
        _refuse_taken(siblings, unit.parent_id, name)
        renamed = unit.changed(by=actor, at=self._clock(), name=name)
        await self._write(tenant, standing, self._hierarchies.renamed(renamed), unit, renamed, actor)
        return renamed

    async def _remove(self, tenant_id: str, unit_id: str, version: int, actor: str) -> None:
        tenant, standing = await self._as_it_stands(tenant_id)
        unit = _at_version(_found(standing, unit_id), version)
        _refuse_filled(unit, standing.units)
        await self._write(tenant, standing, self._hierarchies.removed(unit), unit, None, actor)

    async def _write(
        self,
        tenant: Tenant,
        standing: StandingHierarchy,
        write: Write,
        before: HierarchyUnit | None,
        after: HierarchyUnit | None,
        actor: str,
    ) -> None:
        unit = after or before
        assert unit is not None, "something changes"
        action = f"{unit.kind}_{'CREATED' if before is None else 'RENAMED' if after else 'REMOVED'}"
        subject = f"tenants/{tenant.id}/hierarchy/{unit.id}"
        entry = self._audit.entry(action, tenant_id=tenant.id, subject=subject, actor=actor, before=before, after=after)
        revised = self._hierarchies.revised(tenant.id, standing.revision)
        await self._database.transact([revised, write, self._tenants.still_open(tenant.id), entry])

    async def _as_it_stands(self, tenant_id: str) -> tuple[Tenant, StandingHierarchy]:
        return await asyncio.gather(self._tenants.get_open(tenant_id), self._hierarchies.get(tenant_id))


def _find(units: Iterable[HierarchyUnit], unit_id: str) -> HierarchyUnit | None:
    return next((unit for unit in units if unit.id == unit_id), None)


def _found(standing: StandingHierarchy, unit_id: str) -> HierarchyUnit:
    unit = _find(standing.units, unit_id)
    if unit is None:
        raise NotFound(f"there is no division, group or team {unit_id} in this tenant")
    return unit


def _at_version(unit: HierarchyUnit, version: int) -> HierarchyUnit:
    if unit.version != version:
        raise PreconditionFailed(f"{unit.id} is at version {unit.version}, not {version}")
    return unit


def _path_of_parent(units: Iterable[HierarchyUnit], parent_id: str | None) -> tuple[str, ...]:
    if parent_id is None:
        return ()
    parent = _find(units, parent_id)
    if parent is None:
        raise Invalid("The parent is not there.", [FieldError("#/parentId", "There is no such division or group.")])
    if parent.kind == "TEAM":
        raise Invalid("A team has nothing below it.", [FieldError("#/parentId", "This is a team.")])
    return parent.path


def _refuse_taken(units: Iterable[HierarchyUnit], parent_id: str | None, name: str) -> None:
    """Capitals and spaces make no other name."""
    siblings = {normal_name(unit.name) for unit in units if unit.parent_id == parent_id}
    if normal_name(name) in siblings:
        raise Conflict("another one beside it has this name", [FieldError("#/name", "is taken")])


def _refuse_filled(unit: HierarchyUnit, units: Iterable[HierarchyUnit]) -> None:
    below = [other for other in units if unit.id in other.path[:-1]]
    if below:
        groups = sum(other.kind == "GROUP" for other in below)
        counts = [(groups, "group"), (len(below) - groups, "team")]
        told = " and ".join(f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in counts if count)
        raise Conflict(f"{told} are in this {unit.kind.lower()}; remove them first")
