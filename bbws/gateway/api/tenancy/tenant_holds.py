"""What holds a tenant, and how a hold begins and ends: parked, suspended, deleted."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bbws.gateway.api.tenancy.tenants import CHANGED, tenant_answer, tenant_links
from bbws.gateway.keys import services
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, path_id
from bbws.gateway.responses import etag_of, resource
from bbws.gateway.route import Answer, Handler, Route
from bbws.shared.contracts.tenancy.tenants import OptionalReason, Reason, Tenant, TenantState


async def get_tenant_status(request: web.Request) -> web.Response:
    tenant = await services(request).tenants.get(path_id(request, "tenantId"))
    links = tenant_links(request, tenant)
    links = {**links, "self": links["status"], "tenant": links["self"]}
    return resource(request, TenantState.of(tenant), links, etag=etag_of(tenant.version))


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
    return tenant_answer(request, tenant)


def _action(
    name: str, handler: Handler, access: Right, summary: str, description: str, *, reason_required: bool = False
) -> Route:
    """A step in the life of a tenant. A repeat is answered with the tenant as it is, and nothing is written."""
    return Route(
        method="POST",
        path=f"/v1.0/tenants/{{tenantId}}/{name}",
        operation_id=f"tenant-{name}",
        handler=handler,
        summary=summary,
        tag="tenants",
        access=access,
        scope="tenant",
        description=f"{description} A repeat gets the same answer and publishes nothing.",
        request=Reason if reason_required else OptionalReason,
        body_optional=not reason_required,
        answers={200: CHANGED},
        errors=(409,),
        idempotency="optional",
    )


ROUTES: tuple[Route, ...] = (
    _action(
        "park",
        park_tenant,
        Right.TENANTS_PARK,
        "Park a tenant",
        "A pause that the customer wishes. 409 while it is suspended.",
        reason_required=True,
    ),
    _action("unpark", unpark_tenant, Right.TENANTS_PARK, "End a tenant's pause", "Other holds stay."),
    _action(
        "suspend",
        suspend_tenant,
        Right.TENANTS_SUSPEND,
        "Suspend a tenant",
        "For non-payment or abuse; also a parked one. It may still order, so that it can pay.",
        reason_required=True,
    ),
    _action(
        "resume",
        resume_tenant,
        Right.TENANTS_SUSPEND,
        "Resume a suspended tenant",
        "A parked one stays parked.",
    ),
    _action(
        "restore",
        restore_tenant,
        Right.TENANTS_DELETE,
        "Bring back a deleted tenant",
        "As it was before, other holds included. 409 once its purge was ordered.",
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/status",
        operation_id="tenant-status",
        handler=get_tenant_status,
        summary="Read what holds a tenant",
        tag="tenants",
        access=Right.TENANTS_READ,
        scope="tenant",
        description="Each hold with its reason; `status` is the weightiest of them.",
        answers={200: Answer("Status and holds", TenantState, "resource", etag=True)},
        conditional=True,
    ),
)
