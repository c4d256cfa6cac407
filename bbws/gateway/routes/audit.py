"""The audit trail: who changed what, when, and from where."""

from bbws.gateway.api.tenancy import audit
from bbws.gateway.operations import JSON_LINES, Answer, Route
from bbws.gateway.permissions import Right
from bbws.shared.contracts.audit import AuditEntry

AUDIT: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/audit",
        operation_id="audit-list",
        handler=audit.list_entries,
        summary="List who changed what of a tenant",
        tag="audit",
        access=Right.AUDIT_READ,
        description=(
            "Newest first. `seal` is the entry's place in the tenant's hash chain; it comes some seconds after the "
            "change. `details` are gone once the tenant was purged."
        ),
        answers={200: Answer("One page of entries", AuditEntry, "collection")},
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/audit/export",
        operation_id="audit-export",
        handler=audit.export_entries,
        summary="Download a tenant's whole audit trail",
        tag="audit",
        access=Right.AUDIT_READ,
        description="JSON Lines, oldest first. An answer that breaks off without its end is not complete.",
        answers={200: Answer("The trail, an entry on each line", AuditEntry, media=(JSON_LINES,))},
    ),
    Route(
        method="GET",
        path="/v1.0/audit",
        operation_id="platform-audit-list",
        handler=audit.list_platform_entries,
        summary="List who changed what belongs to no tenant",
        tag="audit",
        access=Right.PLATFORM_AUDIT_READ,
        description="Products, campaigns, dead letters. Newest first.",
        answers={200: Answer("One page of entries", AuditEntry, "collection")},
        paged=True,
    ),
)
