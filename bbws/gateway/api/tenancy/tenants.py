"""Tenants: made, read, listed, changed and deleted; every answer says what this caller may do next."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, cast, get_args

from aiohttp import web

from bbws.gateway.api.tenancy.operations import OperationAnswer, accepted
from bbws.gateway.keys import CALLER, services
from bbws.gateway.links import link_to, offered
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, expected_version, page, path_id, query, resource_id
from bbws.gateway.responses import collection, embedded, record
from bbws.gateway.route import Answer, Route, query_parameter
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.tenancy.tenants import Environment, Tenant, TenantDraft, TenantPatch, TenantStatus
from bbws.shared.errors import BadRequest
from bbws.shared.tenancy.services.tenants import Tenants

FILTERS = ("status", "environment", "organizationName", "email")
CHANGED = Answer("The tenant as it is now", Tenant, "resource", etag=True)

# What belongs to a tenant, by the operation that reads it.
_PARTS = {
    "status": "tenant-status",
    "orders": "order-list",
    "users": "user-list",
    "hierarchy": "hierarchy-get",
    "operations": "tenant-operation-list",
    "audit": "audit-list",
}


def tenant_links(request: web.Request, tenant: Tenant) -> dict[str, dict[str, Any]]:
    links = {"self": link_to(request, "tenant-get", tenantId=tenant.id)}
    links |= offered(request, _PARTS, tenantId=tenant.id)
    if tenant.purge_operation_id:
        links |= offered(request, {"operation": "operation-get"}, operationId=tenant.purge_operation_id)
    links |= offered(request, {name: f"tenant-{name}" for name in _next_steps(tenant)}, tenantId=tenant.id)
    return links | _purge(request, tenant)


def _next_steps(tenant: Tenant) -> Iterator[str]:
    """What the services would not refuse, and what would change something."""
    if tenant.deleted:
        yield from () if tenant.purge_operation_id else ("restore",)
        return
    yield "update"
    if tenant.parked:
        yield "unpark"
    elif not tenant.suspended:
        yield "park"
    yield "resume" if tenant.suspended else "suspend"
    yield "delete"


def _purge(request: web.Request, tenant: Tenant) -> dict[str, dict[str, Any]]:
    """To delete it with force needs a right beside that of the route, and can be ordered once."""
    if tenant.purge_operation_id or not request[CALLER].may(Right.TENANTS_PURGE):
        return {}
    links = offered(request, {"purge": "tenant-delete"}, tenantId=tenant.id)
    return {name: {**step, "href": f"{step['href']}?force=true"} for name, step in links.items()}


def tenant_answer(request: web.Request, tenant: Tenant, *, created: bool = False) -> web.Response:
    return record(request, tenant, tenant_links(request, tenant), created=created)


async def create_tenant(request: web.Request) -> web.Response:
    draft = body(request, TenantDraft)
    tenant = await services(request).tenants.create(draft, actor=actor(request), tenant_id=resource_id(request))
    return tenant_answer(request, tenant, created=True)


async def get_tenant(request: web.Request) -> web.Response:
    return tenant_answer(request, await services(request).tenants.get(path_id(request, "tenantId")))


async def list_tenants(request: web.Request) -> web.Response:
    asked = page(request)
    found = await _listing(services(request).tenants, query(request))(asked)
    shown = [embedded(tenant, tenant_links(request, tenant)) for tenant in found.items]
    return collection(request, asked, found, shown, offered(request, {"create": "tenant-create"}))


def _listing(tenants: Tenants, given: dict[str, str]) -> Callable[[PageRequest], Awaitable[Page[Tenant]]]:
    """The list that the filter asks for: each has an index of its own, and two at once have none."""
    match [(name, given[name]) for name in FILTERS if name in given]:
        case []:
            return partial(tenants.list_by_status, "ACTIVE")
        case [("status", status)]:
            return partial(tenants.list_by_status, cast(TenantStatus, status))
        case [("environment", environment)]:
            return partial(tenants.list_by_environment, cast(Environment, environment))
        case [("organizationName", name)]:
            return partial(tenants.list_by_organization, name)
        case [("email", email)]:
            return partial(tenants.list_by_email, email)
        case several:
            names = " and ".join(name for name, _ in several)
            raise BadRequest(f"This list takes one of {', '.join(FILTERS)}; the query has {names}.")


async def update_tenant(request: web.Request) -> web.Response:
    tenants, tenant_id = services(request).tenants, path_id(request, "tenantId")
    patch = body(request, TenantPatch)
    if patch.email is not None:
        request[CALLER].require(Right.TENANTS_CHANGE_EMAIL)
    version = await expected_version(request, partial(tenants.get, tenant_id))
    return tenant_answer(request, await tenants.update(tenant_id, patch, version=version, actor=actor(request)))


async def delete_tenant(request: web.Request) -> web.Response:
    tenants, tenant_id = services(request).tenants, path_id(request, "tenantId")
    forced = query(request).get("force") == "true"
    if forced:
        request[CALLER].require(Right.TENANTS_PURGE)
    version = await expected_version(request, partial(tenants.get, tenant_id))
    if forced:
        records = services(request).tenant_records
        return accepted(request, await records.order_purge(tenant_id, version=version, actor=actor(request)))
    return tenant_answer(request, await tenants.delete(tenant_id, version=version, actor=actor(request)))


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1.0/tenants",
        operation_id="tenant-create",
        handler=create_tenant,
        summary="Create a tenant",
        tag="tenants",
        access=Right.TENANTS_CREATE,
        scope="platform",
        description=(
            "By an operator; `contactEmail` is accepted for `email`, which is kept in lower case. E-mail and "
            "organisation are unique: 409 names each that is taken."
        ),
        request=TenantDraft,
        answers={201: Answer("Created", Tenant, "resource", etag=True, location=True)},
        errors=(409,),
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/tenants",
        operation_id="tenant-list",
        handler=list_tenants,
        summary="List tenants",
        tag="tenants",
        access=Right.TENANTS_LIST,
        scope="platform",
        description="By one filter at most; without any, those whose status is ACTIVE.",
        answers={200: Answer("One page of tenants", Tenant, "collection")},
        parameters=(
            query_parameter("status", "The one that changed last first.", *get_args(TenantStatus)),
            query_parameter("environment", "Newest first.", *get_args(Environment)),
            query_parameter("organizationName", "One or none; capitals and spaces do not matter.", max_chars=120),
            query_parameter("email", "One or none; capitals do not matter.", max_chars=254),
        ),
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}",
        operation_id="tenant-get",
        handler=get_tenant,
        summary="Read a tenant",
        tag="tenants",
        access=Right.TENANTS_READ,
        scope="tenant",
        description="`_links` say what this caller may do with it in its present state.",
        answers={200: Answer("The tenant", Tenant, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="PATCH",
        path="/v1.0/tenants/{tenantId}",
        operation_id="tenant-update",
        handler=update_tenant,
        summary="Change what is said of a tenant",
        tag="tenants",
        access=Right.TENANTS_UPDATE,
        scope="tenant",
        description=(
            "A JSON merge patch: what is left out stays. The e-mail is changed by operators alone, since orders of the "
            "shop go to the tenant that has their e-mail. 409 names each field that another tenant has, and refuses a "
            "deleted tenant."
        ),
        request=TenantPatch,
        answers={200: CHANGED},
        errors=(409,),
        if_match=True,
    ),
    Route(
        method="DELETE",
        path="/v1.0/tenants/{tenantId}",
        operation_id="tenant-delete",
        handler=delete_tenant,
        summary="Delete a tenant",
        tag="tenants",
        access=Right.TENANTS_DELETE,
        scope="tenant",
        description=(
            "Gone for its users at once; e-mail and organisation stay taken, and it can be restored for 30 days. Then, "
            f"or at once with `force=true` (which needs the right `{Right.TENANTS_PURGE.value}`), everything of it is "
            "exported and what is personal is purged; invoices and the audit trail stay."
        ),
        answers={
            200: CHANGED,
            202: Answer(
                "Its purge is on its way",
                OperationAnswer,
                "resource",
                etag=True,
                location=True,
                retry_after=True,
            ),
        },
        parameters=(query_parameter("force", "Purge it now; nothing brings it back.", "true", "false"),),
        if_match=True,
    ),
)
