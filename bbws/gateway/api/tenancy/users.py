"""Who may act for a tenant, and for which tenants a user may act."""

from functools import partial

from aiohttp import web

from bbws.gateway.api.tenancy.tenants import tenant_path
from bbws.gateway.keys import CALLER, services
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, expected_version, page, path_id
from bbws.gateway.responses import Links, collection, embedded, link, record
from bbws.shared.contracts.tenancy.users import UserAssignment, UserAssignmentDraft, UserRolePatch


def users_path(tenant_id: str) -> str:
    return f"{tenant_path(tenant_id)}/users"


def _links(request: web.Request, assignment: UserAssignment) -> Links:
    users = users_path(assignment.tenant_id)
    here = f"{users}/{assignment.user_id}"
    links = {"self": link(here), "tenant": link(tenant_path(assignment.tenant_id)), "collection": link(users)}
    if request[CALLER].may(Right.USERS_MANAGE):
        links |= {"update": link(here, method="PATCH"), "remove": link(here, method="DELETE")}
    return links


def _answer(request: web.Request, assignment: UserAssignment, *, created: bool = False) -> web.Response:
    return record(request, assignment, _links(request, assignment), created=created)


async def assign_user(request: web.Request) -> web.Response:
    tenant_id, draft = path_id(request, "tenantId"), body(request, UserAssignmentDraft)
    assignment, created = await services(request).users.assign(tenant_id, draft, actor=actor(request))
    return _answer(request, assignment, created=created)


async def list_users(request: web.Request) -> web.Response:
    asked, tenant_id = page(request), path_id(request, "tenantId")
    found = await services(request).users.list_of_tenant(tenant_id, asked)
    links = {"tenant": link(tenant_path(tenant_id))}
    if request[CALLER].may(Right.USERS_MANAGE):
        links["assign"] = link(users_path(tenant_id), method="POST")
    return collection(request, asked, found, [embedded(user, _links(request, user)) for user in found.items], links)


async def get_user(request: web.Request) -> web.Response:
    tenant_id, user_id = path_id(request, "tenantId"), path_id(request, "userId")
    return _answer(request, await services(request).users.get(tenant_id, user_id))


async def update_user(request: web.Request) -> web.Response:
    users, tenant_id, user_id = services(request).users, path_id(request, "tenantId"), path_id(request, "userId")
    version = await expected_version(request, partial(users.get, tenant_id, user_id))
    role = body(request, UserRolePatch).role
    changed = await users.change_role(tenant_id, user_id, role, version=version, actor=actor(request))
    return _answer(request, changed)


async def remove_user(request: web.Request) -> web.Response:
    users, tenant_id, user_id = services(request).users, path_id(request, "tenantId"), path_id(request, "userId")
    version = await expected_version(request, partial(users.get, tenant_id, user_id))
    await users.remove(tenant_id, user_id, version=version, actor=actor(request))
    return web.Response(status=204)


async def list_tenants_of_user(request: web.Request) -> web.Response:
    asked = page(request)
    found = await services(request).users.list_of_user(path_id(request, "userId"), asked)
    return collection(request, asked, found, [embedded(each, _links(request, each)) for each in found.items])
