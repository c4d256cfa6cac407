"""How a tenant is organised: divisions, groups in them, teams in those."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from bbws.shared.contracts.base import Contract, Line, Record, Uuid

UnitKind = Literal["DIVISION", "GROUP", "TEAM"]
UnitName = Annotated[Line, Field(max_length=80)]

# A whole hierarchy is read, checked and answered at once: 500 units are some 200 KB, below DynamoDB's 1 MB a query.
MAX_UNITS = 500


class HierarchyUnitDraft(Contract):
    """`POST /v1.0/tenants/{tenantId}/hierarchy`: a division, or with `parentId` a group of a division, or a team of a
    group."""

    name: UnitName
    parent_id: Uuid | None = None


class HierarchyUnitPatch(Contract):
    name: UnitName


class HierarchyUnit(Record):
    """`path` holds the ids from the division down to the unit itself, and never changes: names may."""

    id: Uuid
    tenant_id: Uuid
    kind: UnitKind
    name: UnitName
    path: Annotated[tuple[Uuid, ...], Field(min_length=1, max_length=3)]

    @property
    def parent_id(self) -> str | None:
        return self.path[-2] if len(self.path) > 1 else None


class HierarchyBranch(Contract):
    """A unit and all below it."""

    id: Uuid
    kind: UnitKind
    name: UnitName
    version: int
    children: "tuple[HierarchyBranch, ...]" = ()


class Hierarchy(Contract):
    """`revision` counts the changes of the whole; it is 0 while nothing was ever changed."""

    tenant_id: Uuid
    revision: Annotated[int, Field(ge=0)]
    divisions: tuple[HierarchyBranch, ...]

    @classmethod
    def of(cls, tenant_id: str, revision: int, units: Sequence[HierarchyUnit]) -> "Hierarchy":
        return cls(tenant_id=tenant_id, revision=revision, divisions=_branches(units, None))


def _branches(units: Sequence[HierarchyUnit], parent_id: str | None) -> tuple[HierarchyBranch, ...]:
    """By name, as people look for them."""
    children = sorted((unit for unit in units if unit.parent_id == parent_id), key=lambda unit: unit.name.casefold())
    return tuple(_branch(unit, units) for unit in children)


def _branch(unit: HierarchyUnit, units: Sequence[HierarchyUnit]) -> HierarchyBranch:
    below = _branches(units, unit.id)
    return HierarchyBranch(id=unit.id, kind=unit.kind, name=unit.name, version=unit.version, children=below)
