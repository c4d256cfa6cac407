"""Tenants: who the customers are."""

from bbws.gateway.api import tenants
from bbws.gateway.operations import Answer, Route
from bbws.gateway.permissions import Right
from bbws.shared.contracts.tenants import Tenant, TenantDraft

TENANTS: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1.0/tenants",
        operation_id="tenant-create",
        handler=tenants.create_tenant,
        summary="Create a tenant",
        tag="tenants",
        access=Right.TENANTS_CREATE,
        description="By an operator; `contactEmail` is accepted for `email`.",
        request=TenantDraft,
        answers={201: Answer("Created", Tenant, "resource", etag=True, location=True)},
        errors=(409,),
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}",
        operation_id="tenant-get",
        handler=tenants.get_tenant,
        summary="Read a tenant",
        tag="tenants",
        access=Right.TENANTS_READ,
        answers={200: Answer("The tenant", Tenant, "resource", etag=True)},
        conditional=True,
    ),
)
