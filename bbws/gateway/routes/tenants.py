"""Tenants: who the customers are, what holds them, and the operations that work on them."""

from typing import get_args

from bbws.gateway.api.tenancy import operations, tenants
from bbws.gateway.operations import Answer, Handler, Parameter, Route
from bbws.gateway.permissions import Right
from bbws.shared.contracts.operations import OperationStatus
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

_TENANT = Answer("The tenant as it is now", Tenant, "resource", etag=True)


def _filter(name: str, description: str, *choices: str, longest: int = 0) -> Parameter:
    schema = {"type": "string", "enum": list(choices)} if choices else {"type": "string", "maxLength": longest}
    return Parameter(name, "query", description, schema)


def _action(
    name: str, handler: Handler, access: Right, summary: str, description: str, *, reason_required: bool = False
) -> Route:
    """A step in the life of a tenant, which may be repeated: what is so already is answered, and nothing happens."""
    return Route(
        method="POST",
        path=f"/v1.0/tenants/{{tenantId}}/{name}",
        operation_id=f"tenant-{name}",
        handler=handler,
        summary=summary,
        tag="tenants",
        access=access,
        description=f"{description} A repeat gets the same answer and publishes nothing.",
        request=Reason if reason_required else OptionalReason,
        body_optional=not reason_required,
        answers={200: _TENANT},
        errors=(409,),
        idempotency="optional",
    )


_ACTIONS = (
    _action(
        "park",
        tenants.park_tenant,
        Right.TENANTS_PARK,
        "Park a tenant",
        "A pause that the customer wishes. 409 while it is suspended.",
        reason_required=True,
    ),
    _action("unpark", tenants.unpark_tenant, Right.TENANTS_PARK, "End a tenant's pause", "Other holds stay."),
    _action(
        "suspend",
        tenants.suspend_tenant,
        Right.TENANTS_SUSPEND,
        "Suspend a tenant",
        "For non-payment or abuse; also a parked one. It may still order, so that it can pay.",
        reason_required=True,
    ),
    _action(
        "resume",
        tenants.resume_tenant,
        Right.TENANTS_SUSPEND,
        "Resume a suspended tenant",
        "A parked one stays parked.",
    ),
    _action(
        "restore",
        tenants.restore_tenant,
        Right.TENANTS_DELETE,
        "Bring back a deleted tenant",
        "As it was before, other holds included. 409 once its purge was ordered.",
    ),
)

TENANTS: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1.0/tenants",
        operation_id="tenant-create",
        handler=tenants.create_tenant,
        summary="Create a tenant",
        tag="tenants",
        access=Right.TENANTS_CREATE,
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
        handler=tenants.list_tenants,
        summary="List tenants",
        tag="tenants",
        access=Right.TENANTS_LIST,
        description="By one filter at most; without any, those whose status is ACTIVE.",
        answers={200: Answer("One page of tenants", Tenant, "collection")},
        parameters=(
            _filter("status", "The one that changed last first.", *get_args(TenantStatus)),
            _filter("environment", "Newest first.", *get_args(Environment)),
            _filter("organizationName", "One or none; capitals and spaces do not matter.", longest=120),
            _filter("email", "One or none; capitals do not matter.", longest=254),
        ),
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}",
        operation_id="tenant-get",
        handler=tenants.get_tenant,
        summary="Read a tenant",
        tag="tenants",
        access=Right.TENANTS_READ,
        description="`_links` say what this caller may do with it in its present state.",
        answers={200: Answer("The tenant", Tenant, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="PATCH",
        path="/v1.0/tenants/{tenantId}",
        operation_id="tenant-update",
        handler=tenants.update_tenant,
        summary="Change what is said of a tenant",
        tag="tenants",
        access=Right.TENANTS_UPDATE,
        description=(
            "A JSON merge patch: what is left out stays. The e-mail is changed by operators alone, since orders of the "
            "shop go to the tenant that has their e-mail. 409 names each field that another tenant has, and refuses a "
            "deleted tenant."
        ),
        request=TenantPatch,
        answers={200: _TENANT},
        errors=(409,),
        if_match=True,
    ),
    Route(
        method="DELETE",
        path="/v1.0/tenants/{tenantId}",
        operation_id="tenant-delete",
        handler=tenants.delete_tenant,
        summary="Delete a tenant",
        tag="tenants",
        access=Right.TENANTS_DELETE,
        description=(
            "Gone for its users at once; e-mail and organisation stay taken, and it can be restored for 30 days. Then, "
            f"or at once with `force=true` (which needs the right `{Right.TENANTS_PURGE.value}`), everything of it is "
            "exported and what is personal is purged; invoices and the audit trail stay."
        ),
        answers={
            200: _TENANT,
            202: Answer(
                "Its purge is on its way",
                operations.OperationAnswer,
                "resource",
                etag=True,
                location=True,
                retry_after=True,
            ),
        },
        parameters=(_filter("force", "Purge it now; nothing brings it back.", "true", "false"),),
        if_match=True,
    ),
    *_ACTIONS,
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/status",
        operation_id="tenant-status",
        handler=tenants.get_tenant_status,
        summary="Read what holds a tenant",
        tag="tenants",
        access=Right.TENANTS_READ,
        description="Each hold with its reason; `status` is the weightiest of them.",
        answers={200: Answer("Status and holds", TenantState, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/operations",
        operation_id="tenant-operation-list",
        handler=operations.list_tenant_operations,
        summary="List the operations on a tenant",
        tag="operations",
        access=Right.OPERATIONS_READ,
        description="Newest first.",
        answers={200: Answer("One page of operations", operations.OperationAnswer, "collection")},
        parameters=(_filter("status", "Only those that are so far.", *get_args(OperationStatus)),),
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/operations/{operationId}",
        operation_id="operation-get",
        handler=operations.get_operation,
        summary="Read how far an operation is",
        tag="operations",
        access=Right.OPERATIONS_READ,
        answers={200: Answer("The operation", operations.OperationAnswer, "resource", etag=True)},
        conditional=True,
    ),
)
