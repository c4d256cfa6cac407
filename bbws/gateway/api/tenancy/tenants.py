"""Tenants: made, listed, changed, held and released; every answer says what this caller may do next."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, cast

from aiohttp import web

from bbws.gateway.api.tenancy.operations import accepted, operation_path
from bbws.gateway.keys import CALLER, services
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, expected_version, page, path_id, query, resource_id
from bbws.gateway.responses import API, Links, collection, embedded, etag_of, link, record, resource
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.tenancy.tenants import (
    Environment,
    OptionalReason,
    Reason,
    Tenant,
    TenantDraft,
    TenantPatch,
    TenantState,
    TenantStatus,
)
from bbws.shared.errors import BadRequest
from bbws.shared.tenancy.services.tenants import Tenants

FILTERS = ("status", "environment", "organizationName", "email")

# What belongs to a tenant, each below its own address, and who may read it.
_PARTS = {
    "status": Right.TENANTS_READ,
    "orders": Right.ORDERS_READ,
    "users": Right.USERS_READ,
    "hierarchy": Right.HIERARCHY_READ,
    "operations": Right.OPERATIONS_READ,
    "audit": Right.AUDIT_READ,
}
# What can be done with a tenant: how, where, and who may.
_STEPS = {
    "update": ("PATCH", "", Right.TENANTS_UPDATE),
    "park": ("POST", "/park", Right.TENANTS_PARK),
    "unpark": ("POST", "/unpark", Right.TENANTS_PARK),
    "suspend": ("POST", "/suspend", Right.TENANTS_SUSPEND),
    "resume": ("POST", "/resume", Right.TENANTS_SUSPEND),
    "delete": ("DELETE", "", Right.TENANTS_DELETE),
    "restore": ("POST", "/restore", Right.TENANTS_DELETE),
    "purge": ("DELETE", "?force=true", Right.TENANTS_PURGE),
}


def tenant_path(tenant_id: str) -> str:
    return f"{API}/tenants/{tenant_id}"


def _next_steps(tenant: Tenant) -> Iterator[str]:
    """What the services would not refuse, and what would change something."""
    if tenant.deleted:
        yield from () if tenant.purge_operation_id else ("restore", "purge")
        return
    yield "update"
    if tenant.parked:
        yield "unpark"
    elif not tenant.suspended:
        yield "park"
    yield "resume" if tenant.suspended else "suspend"
    yield from ("delete", "purge")


def _links(request: web.Request, tenant: Tenant) -> Links:
    here, caller = tenant_path(tenant.id), request[CALLER]
    links = {"self": link(here)} | {name: link(f"{here}/{name}") for name, right in _PARTS.items() if caller.may(right)}
    if tenant.purge_operation_id and caller.may(Right.OPERATIONS_READ):
        links["operation"] = link(operation_path(tenant.purge_operation_id))
    for name in _next_steps(tenant):
        method, where, right = _STEPS[name]
        if caller.may(right):
            links[name] = link(here + where, method=method)
    return links


def _answer(request: web.Request, tenant: Tenant, *, created: bool = False) -> web.Response:
    return record(request, tenant, _links(request, tenant), created=created)


async def create_tenant(request: web.Request) -> web.Response:
    draft = body(request, TenantDraft)
    tenant = await services(request).tenants.create(draft, actor=actor(request), tenant_id=resource_id(request))
    return _answer(request, tenant, created=True)


async def get_tenant(request: web.Request) -> web.Response:
    return _answer(request, await services(request).tenants.get(path_id(request, "tenantId")))


async def get_tenant_status(request: web.Request) -> web.Response:
    tenant = await services(request).tenants.get(path_id(request, "tenantId"))
    links = _links(request, tenant)
    links = {**links, "self": links["status"], "tenant": links["self"]}
    return resource(request, TenantState.of(tenant), links, etag=etag_of(tenant.version))


async def list_tenants(request: web.Request) -> web.Response:
    asked = page(request)
    found = await _listing(services(request).tenants, query(request))(asked)
    links = {"create": link(f"{API}/tenants", method="POST")} if request[CALLER].may(Right.TENANTS_CREATE) else {}
    shown = [embedded(tenant, _links(request, tenant)) for tenant in found.items]
    return collection(request, asked, found, shown, links)


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
            told = " and ".join(name for name, _ in several)
            raise BadRequest(f"This list takes one of {', '.join(FILTERS)}; the query has {told}.")


async def update_tenant(request: web.Request) -> web.Response:
    tenants, tenant_id = services(request).tenants, path_id(request, "tenantId")
    patch = body(request, TenantPatch)
    if patch.email is not None:
        request[CALLER].require(Right.TENANTS_CHANGE_EMAIL)
    version = await expected_version(request, partial(tenants.get, tenant_id))
    return _answer(request, await tenants.update(tenant_id, patch, version=version, actor=actor(request)))


async def delete_tenant(request: web.Request) -> web.Response:
    tenants, tenant_id = services(request).tenants, path_id(request, "tenantId")
    forced = query(request).get("force") == "true"
    if forced:
        request[CALLER].require(Right.TENANTS_PURGE)
    version = await expected_version(request, partial(tenants.get, tenant_id))
    if forced:
        records = services(request).tenant_records
        return accepted(request, await records.order_purge(tenant_id, version=version, actor=actor(request)))
    return _answer(request, await tenants.delete(tenant_id, version=version, actor=actor(request)))


async def park_tenant(request: web.Request) -> web.Response:
    return await _act(request, services(request).tenants.park, Reason)


async def unpark_tenant(request: web.Request) -> web.Response:
    return await _act(request, services(request).tenants.unpark, OptionalReason)


async def suspend_tenant(request: web.Request) -> web.Response:
    return await _act(request, services(request).tenants.suspend, Reason)


async def resume_tenant(request: web.Request) -> web.Response:
    return await _act(request, services(request).tenants.resume, OptionalReason)


async def restore_tenant(request: web.Request) -> web.Response:
    return await _act(request, services(request).tenants.restore, OptionalReason)


async def _act(
    request: web.Request, action: Callable[..., Awaitable[Tenant]], given: type[Reason | OptionalReason]
) -> web.Response:
    reason: Any = body(request, given).reason
    tenant = await action(path_id(request, "tenantId"), reason=reason, actor=actor(request))
    return _answer(request, tenant)
