"""How a tenant is organised: divisions, groups, teams."""

from functools import partial

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.links import Links, link_to, offered
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, expected_version, path_id, resource_id
from bbws.gateway.responses import etag_of, record, resource
from bbws.gateway.route import Answer, Route
from bbws.shared.contracts.tenancy.hierarchies import (
    Hierarchy,
    HierarchyUnit,
    HierarchyUnitDraft,
    HierarchyUnitPatch,
)

_STEPS = {"update": "hierarchy-update", "delete": "hierarchy-delete"}
_CREATE = {"create": "hierarchy-create"}


def _links(request: web.Request, unit: HierarchyUnit) -> Links:
    tenant_id = unit.tenant_id
    links = {
        "self": link_to(request, "hierarchy-unit-get", tenantId=tenant_id, unitId=unit.id),
        "hierarchy": link_to(request, "hierarchy-get", tenantId=tenant_id),
    }
    if unit.parent_id:
        links["parent"] = link_to(request, "hierarchy-unit-get", tenantId=tenant_id, unitId=unit.parent_id)
    links |= offered(request, _STEPS, tenantId=tenant_id, unitId=unit.id)
    return links if unit.kind == "TEAM" else links | offered(request, _CREATE, tenantId=tenant_id)


def _answer(request: web.Request, unit: HierarchyUnit, *, created: bool = False) -> web.Response:
    return record(request, unit, _links(request, unit), created=created)


async def get_hierarchy(request: web.Request) -> web.Response:
    tree = await services(request).hierarchies.tree(path_id(request, "tenantId"))
    links = {
        "self": link_to(request, "hierarchy-get", tenantId=tree.tenant_id),
        "tenant": link_to(request, "tenant-get", tenantId=tree.tenant_id),
        **offered(request, _CREATE, tenantId=tree.tenant_id),
    }
    return resource(request, tree, links, etag=etag_of(tree.revision))


async def create_unit(request: web.Request) -> web.Response:
    tenant_id, draft = path_id(request, "tenantId"), body(request, HierarchyUnitDraft)
    hierarchies, unit_id = services(request).hierarchies, resource_id(request)
    unit = await hierarchies.create(tenant_id, draft, actor=actor(request), unit_id=unit_id)
    return _answer(request, unit, created=True)


async def get_unit(request: web.Request) -> web.Response:
    tenant_id, unit_id = path_id(request, "tenantId"), path_id(request, "unitId")
    return _answer(request, await services(request).hierarchies.get(tenant_id, unit_id))


async def update_unit(request: web.Request) -> web.Response:
    tenant_id, unit_id = path_id(request, "tenantId"), path_id(request, "unitId")
    hierarchies = services(request).hierarchies
    version = await expected_version(request, partial(hierarchies.get, tenant_id, unit_id))
    name = body(request, HierarchyUnitPatch).name
    renamed = await hierarchies.rename(tenant_id, unit_id, name, version=version, actor=actor(request))
    return _answer(request, renamed)


async def remove_unit(request: web.Request) -> web.Response:
    tenant_id, unit_id = path_id(request, "tenantId"), path_id(request, "unitId")
    hierarchies = services(request).hierarchies
    version = await expected_version(request, partial(hierarchies.get, tenant_id, unit_id))
    await hierarchies.remove(tenant_id, unit_id, version=version, actor=actor(request))
    return web.Response(status=204)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/hierarchy",
        operation_id="hierarchy-get",
        handler=get_hierarchy,
        summary="Read the whole hierarchy of a tenant",
        tag="hierarchy",
        access=Right.HIERARCHY_READ,
        scope="tenant",
        description="In one answer: a tenant has at most 500 divisions, groups and teams.",
        answers={200: Answer("The tree", Hierarchy, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="POST",
        path="/v1.0/tenants/{tenantId}/hierarchy",
        operation_id="hierarchy-create",
        handler=create_unit,
        summary="Make a division, a group or a team",
        tag="hierarchy",
        access=Right.HIERARCHY_MANAGE,
        scope="tenant",
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
        handler=get_unit,
        summary="Read a division, a group or a team",
        tag="hierarchy",
        access=Right.HIERARCHY_READ,
        scope="tenant",
        answers={200: Answer("The unit", HierarchyUnit, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="PATCH",
        path="/v1.0/tenants/{tenantId}/hierarchy/{unitId}",
        operation_id="hierarchy-update",
        handler=update_unit,
        summary="Rename a division, a group or a team",
        tag="hierarchy",
        access=Right.HIERARCHY_MANAGE,
        scope="tenant",
        request=HierarchyUnitPatch,
        answers={200: Answer("The unit as it is now", HierarchyUnit, "resource", etag=True)},
        errors=(409,),
        if_match=True,
    ),
    Route(
        method="DELETE",
        path="/v1.0/tenants/{tenantId}/hierarchy/{unitId}",
        operation_id="hierarchy-delete",
        handler=remove_unit,
        summary="Remove a division, a group or a team",
        tag="hierarchy",
        access=Right.HIERARCHY_MANAGE,
        scope="tenant",
        description="Only an empty one: 409 says what is in it.",
        answers={204: Answer("Removed")},
        errors=(409,),
        if_match=True,
    ),
)
