"""How a tenant is organised: divisions, groups, teams."""

from functools import partial

from aiohttp import web

from bbws.gateway.api.tenancy.tenants import tenant_path
from bbws.gateway.keys import CALLER, services
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, expected_version, path_id, resource_id
from bbws.gateway.responses import Links, etag_of, link, record, resource
from bbws.shared.contracts.tenancy.hierarchies import HierarchyUnit, HierarchyUnitDraft, HierarchyUnitPatch


def hierarchy_path(tenant_id: str) -> str:
    return f"{tenant_path(tenant_id)}/hierarchy"


def _links(request: web.Request, unit: HierarchyUnit) -> Links:
    tree = hierarchy_path(unit.tenant_id)
    here = f"{tree}/{unit.id}"
    links = {"self": link(here), "hierarchy": link(tree)}
    if unit.parent_id:
        links["parent"] = link(f"{tree}/{unit.parent_id}")
    if request[CALLER].may(Right.HIERARCHY_MANAGE):
        links |= {"update": link(here, method="PATCH"), "delete": link(here, method="DELETE")}
        if unit.kind != "TEAM":
            links["create"] = link(tree, method="POST")
    return links


def _answer(request: web.Request, unit: HierarchyUnit, *, created: bool = False) -> web.Response:
    return record(request, unit, _links(request, unit), created=created)


async def get_hierarchy(request: web.Request) -> web.Response:
    tree = await services(request).hierarchies.tree(path_id(request, "tenantId"))
    here = hierarchy_path(tree.tenant_id)
    links = {"self": link(here), "tenant": link(tenant_path(tree.tenant_id))}
    if request[CALLER].may(Right.HIERARCHY_MANAGE):
        links["create"] = link(here, method="POST")
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
