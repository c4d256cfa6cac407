"""People: their role in the company that runs BBWS (a Cognito group), and in each tenant (an assignment)."""

from typing import Literal

from bbws.shared.contracts.base import Contract, Record, Uuid
from bbws.shared.contracts.tenancy.tenants import Email

StaffRole = Literal["OPERATOR", "ADMIN"]
TenantRole = Literal["OWNER", "MEMBER", "VIEWER"]


class UserAssignmentDraft(Contract):
    """`POST /v1.0/tenants/{tenantId}/users`; somebody who is not known yet is invited by mail."""

    email: Email
    role: TenantRole


class UserRolePatch(Contract):
    """`PATCH /v1.0/tenants/{tenantId}/users/{userId}`."""

    role: TenantRole


class UserAssignment(Record):
    """`user_id` is the user's `sub` in the user pool."""

    tenant_id: Uuid
    user_id: Uuid
    email: Email
    role: TenantRole


class StaffMember(Record):
    """Somebody of the company that runs BBWS. This record is the truth; the groups of the user pool follow it.

    Without any role the member is no longer `active`.
    """

    user_id: Uuid
    email: Email
    roles: tuple[StaffRole, ...]
