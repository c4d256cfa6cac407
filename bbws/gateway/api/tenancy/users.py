"""Who may act for a tenant, and for which tenants a user may act."""

from functools import partial

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.links import Links, link_to, offered
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, expected_version, page, path_id
from bbws.gateway.responses import collection, embedded, record
from bbws.gateway.route import Answer, Route
from bbws.shared.contracts.tenancy.users import UserAssignment, UserAssignmentDraft, UserRolePatch

_STEPS = {"update": "user-update", "remove": "user-remove"}


def _links(request: web.Request, assignment: UserAssignment) -> Links:
    tenant_id, user_id = assignment.tenant_id, assignment.user_id
    return {
        "self": link_to(request, "user-get", tenantId=tenant_id, userId=user_id),
        "tenant": link_to(request, "tenant-get", tenantId=tenant_id),
        "collection": link_to(request, "user-list", tenantId=tenant_id),
        **offered(request, _STEPS, tenantId=tenant_id, userId=user_id),
    }


def _answer(request: web.Request, assignment: UserAssignment, *, created: bool = False) -> web.Response:
    return record(request, assignment, _links(request, assignment), created=created)


async def assign_user(request: web.Request) -> web.Response:
    tenant_id, draft = path_id(request, "tenantId"), body(request, UserAssignmentDraft)
    assignment, created = await services(request).users.assign(tenant_id, draft, actor=actor(request))
    return _answer(request, assignment, created=created)


async def list_users(request: web.Request) -> web.Response:
    asked, tenant_id = page(request), path_id(request, "tenantId")
    found = await services(request).users.list_of_tenant(tenant_id, asked)
    links = {
        "tenant": link_to(request, "tenant-get", tenantId=tenant_id),
        **offered(request, {"assign": "user-assign"}, tenantId=tenant_id),
    }
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


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1.0/tenants/{tenantId}/users",
        operation_id="user-assign",
        handler=assign_user,
        summary="Give a user a role in a tenant",
        tag="users",
        access=Right.USERS_MANAGE,
        scope="tenant",
        description=(
            "Somebody who has no password yet is invited by mail. A repeat changes nothing and answers 200; a user who "
            "has another role is 409: change it with PATCH. The first user makes the tenant REGISTERED."
        ),
        request=UserAssignmentDraft,
        answers={
            200: Answer("The user had the role already", UserAssignment, "resource", etag=True),
            201: Answer("Assigned", UserAssignment, "resource", etag=True, location=True),
        },
        errors=(409,),
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/users",
        operation_id="user-list",
        handler=list_users,
        summary="List the users of a tenant",
        tag="users",
        access=Right.USERS_READ,
        scope="tenant",
        answers={200: Answer("One page of users", UserAssignment, "collection")},
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/users/{userId}",
        operation_id="user-get",
        handler=get_user,
        summary="Read a user's role in a tenant",
        tag="users",
        access=Right.USERS_READ,
        scope="tenant",
        answers={200: Answer("The user", UserAssignment, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="PATCH",
        path="/v1.0/tenants/{tenantId}/users/{userId}",
        operation_id="user-update",
        handler=update_user,
        summary="Give a user another role in a tenant",
        tag="users",
        access=Right.USERS_MANAGE,
        scope="tenant",
        description="The last owner stays owner: 409. A new role counts within 30 seconds, for changes at once.",
        request=UserRolePatch,
        answers={200: Answer("The user as they are now", UserAssignment, "resource", etag=True)},
        errors=(409,),
        if_match=True,
    ),
    Route(
        method="DELETE",
        path="/v1.0/tenants/{tenantId}/users/{userId}",
        operation_id="user-remove",
        handler=remove_user,
        summary="Take a user out of a tenant",
        tag="users",
        access=Right.USERS_MANAGE,
        scope="tenant",
        description="The last owner stays: 409. The user keeps their sign-in and their roles in other tenants.",
        answers={204: Answer("Removed")},
        errors=(409,),
        if_match=True,
    ),
    Route(
        method="GET",
        path="/v1.0/users/{userId}/tenants",
        operation_id="user-tenant-list",
        handler=list_tenants_of_user,
        summary="List a user's tenants",
        tag="users",
        access=Right.USER_TENANTS_READ,
        scope="user",
        description="With the user's role in each; for the user and for staff. A new role may show a moment later.",
        answers={200: Answer("One page of the user's roles", UserAssignment, "collection")},
        paged=True,
    ),
)
