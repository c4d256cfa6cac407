"""Hierarchies of tenants: divisions, groups in them, teams in those."""

from bbws.gateway.api.tenancy import hierarchies
from bbws.gateway.operations import Answer, Route
from bbws.gateway.permissions import Right
from bbws.shared.contracts.tenancy.hierarchies import (
    Hierarchy,
    HierarchyUnit,
    HierarchyUnitDraft,
    HierarchyUnitPatch,
)

HIERARCHIES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/hierarchy",
        operation_id="hierarchy-get",
        handler=hierarchies.get_hierarchy,
        summary="Read the whole hierarchy of a tenant",
        tag="hierarchy",
        access=Right.HIERARCHY_READ,
        description="In one answer: a tenant has at most 500 divisions, groups and teams.",
        answers={200: Answer("The tree", Hierarchy, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="POST",
        path="/v1.0/tenants/{tenantId}/hierarchy",
        operation_id="hierarchy-create",
        handler=hierarchies.create_unit,
        summary="Make a division, a group or a team",
        tag="hierarchy",
        access=Right.HIERARCHY_MANAGE,
        description="Without `parentId` a division; in a division a group; in a group a team. Siblings differ by name.",
        request=HierarchyUnitDraft,
        answers={201: Answer("Made", HierarchyUnit, "resource", etag=True, location=True)},
        errors=(409,),
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/hierarchy/{unitId}",
        operation_id="hierarchy-unit-get",
        handler=hierarchies.get_unit,
        summary="Read a division, a group or a team",
        tag="hierarchy",
        access=Right.HIERARCHY_READ,
        answers={200: Answer("The unit", HierarchyUnit, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="PATCH",
        path="/v1.0/tenants/{tenantId}/hierarchy/{unitId}",
        operation_id="hierarchy-update",
        handler=hierarchies.update_unit,
        summary="Rename a division, a group or a team",
        tag="hierarchy",
        access=Right.HIERARCHY_MANAGE,
        request=HierarchyUnitPatch,
        answers={200: Answer("The unit as it is now", HierarchyUnit, "resource", etag=True)},
        errors=(409,),
        if_match=True,
    ),
    Route(
        method="DELETE",
        path="/v1.0/tenants/{tenantId}/hierarchy/{unitId}",
        operation_id="hierarchy-delete",
        handler=hierarchies.remove_unit,
        summary="Remove a division, a group or a team",
        tag="hierarchy",
        access=Right.HIERARCHY_MANAGE,
        description="Only an empty one: 409 says what is in it.",
        answers={204: Answer("Removed")},
        errors=(409,),
        if_match=True,
    ),
)
