"""Tenants: made by an operator, or by a new customer who registers."""

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.requests import actor, body, path_id, resource_id
from bbws.gateway.responses import API, Links, etag_of, link, resource
from bbws.shared.contracts.tenants import Tenant, TenantDraft


def tenant_path(tenant_id: str) -> str:
    return f"{API}/tenants/{tenant_id}"


def _links(tenant: Tenant) -> Links:
    here = tenant_path(tenant.id)
    return {"self": link(here), "orders": link(f"{here}/orders")}


def _created(request: web.Request, tenant: Tenant) -> web.Response:
    here = tenant_path(tenant.id)
    return resource(request, tenant, _links(tenant), etag=etag_of(tenant.version), status=201, location=here)


async def create_tenant(request: web.Request) -> web.Response:
    draft = body(request, TenantDraft)
    tenant = await services(request).tenants.create(draft, actor=actor(request), tenant_id=resource_id(request))
    return _created(request, tenant)


async def get_tenant(request: web.Request) -> web.Response:
    tenant = await services(request).tenants.get(path_id(request, "tenantId"))
    return resource(request, tenant, _links(tenant), etag=etag_of(tenant.version))
