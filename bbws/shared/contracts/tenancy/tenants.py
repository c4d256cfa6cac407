"""A tenant is a customer of the hosting company.

What keeps a tenant from being simply active are holds, independent of each other: parked (a wished pause), suspended
(non-payment or abuse), deleted. `status` follows from them.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    AliasChoices,
    EmailStr,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from bbws.shared.contracts.base import Contract, Line, Record, Timestamp, Uuid

RegistrationStatus = Literal["UNVALIDATED", "VALIDATED", "REGISTERED"]
TenantStatus = Literal["ACTIVE", "PARKED", "SUSPENDED", "DELETED"]
Environment = Literal["dev", "sit", "prod"]
HoldKind = Literal["parked", "suspended", "deleted"]


def _ascii_before_the_at(address: str) -> str:
    if not address.rpartition("@")[0].isascii():
        raise ValueError("letters beyond ASCII before the @ cannot be reached by mail from here")
    return address


# What email_validator, which takes 30 µs, would give back as it is: lower case, no punycode, no reserved name.
_RESERVED = "arpa|invalid|local|localhost|onion|test"
_PLAIN = re.compile(
    r"(?=.{6,254}$)(?=.{1,64}@)[a-z0-9_+-]++(?:\.[a-z0-9_+-]++)*+@"
    rf"(?:(?![^.]{{64}})[a-z0-9]++(?:-[a-z0-9]++)*+\.)+(?!(?:{_RESERVED})$)[a-z]{{2,63}}"
)


def _unless_plain(address: object, check: ValidatorFunctionWrapHandler) -> object:
    return address if type(address) is str and _PLAIN.fullmatch(address) else check(address)


# SES takes no SMTPUTF8: the domain may be international (it travels as punycode), the part before the @ may not.
Email = Annotated[EmailStr, Field(max_length=254), AfterValidator(_ascii_before_the_at), WrapValidator(_unless_plain)]


def normal_email(address: str) -> str:
    """One spelling for one mailbox, or an index would not find it."""
    return address.strip().lower()


OneSpelling = Annotated[Email, AfterValidator(normal_email)]
# Either name is taken for the field, `email` is returned.
OwnEmail = Annotated[OneSpelling, Field(validation_alias=AliasChoices("email", "contactEmail", "contact_email"))]
OrganizationName = Annotated[Line, Field(max_length=120)]


class TenantDraft(Contract):
    """`POST /v1.0/tenants`, by an operator."""

    organization_name: OrganizationName
    email: OwnEmail
    environment: Environment = "prod"
    destination_email: Email | None = None


class Registration(Contract):
    """`POST /v1.0/registrations`, by a new customer."""

    email: OwnEmail
    organization_name: OrganizationName | None = None


class TenantPatch(Contract):
    """`PATCH /v1.0/tenants/{tenantId}`, as a JSON merge patch (RFC 7396): what is left out stays as it is.

    Only `destinationEmail` may be null, which removes it.
    """

    email: Annotated[
        OneSpelling | None, Field(validation_alias=AliasChoices("email", "contactEmail", "contact_email"))
    ] = None
    organization_name: OrganizationName | None = None
    environment: Environment | None = None
    destination_email: Email | None = None

    @field_validator("email", "organization_name", "environment")
    @classmethod
    def _is_there(cls, value: str | None) -> str:
        """Not asked for a field that is left out."""
        if value is None:
            raise ValueError("cannot be removed")
        return value

    @property
    def changes(self) -> dict[str, object]:
        """The fields that were given, by their Python names."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Reason(Contract):
    """Why something is done to a tenant, for the audit trail and for those who ask later."""

    reason: Line


class OptionalReason(Contract):
    reason: Line | None = None


class Hold(Contract):
    since: Timestamp
    by: str
    reason: Line | None = None


class Tenant(Record):
    """`status` follows from the holds, and `active` is false once it is deleted.

    A deleted tenant is purged at `purgeAt` unless it is restored before; with `purgeOperationId` its purge has been
    ordered, and it cannot be restored any more. After `purgedAt` nothing personal is left, and `email` is a stand-in
    that reaches nobody.
    """

    id: Uuid
    email: Email
    organization_name: str | None = None
    destination_email: Email | None = None
    environment: Environment = "prod"
    status: TenantStatus = "ACTIVE"
    registration_status: RegistrationStatus = "UNVALIDATED"
    parked: Hold | None = None
    suspended: Hold | None = None
    deleted: Hold | None = None
    purge_at: Timestamp | None = None
    purge_operation_id: Uuid | None = None
    purged_at: Timestamp | None = None

    def changed(self, *, by: str, at: datetime, **fields: object) -> Self:
        """The next version, with these fields and the status that follows from its holds."""
        holds = {kind: fields.get(kind, getattr(self, kind)) for kind in get_args(HoldKind)}
        derived = {"status": _status(holds), "active": holds["deleted"] is None}
        return super().changed(by=by, at=at, **fields, **derived)

    @model_validator(mode="after")
    def _status_follows_from_holds(self) -> Self:
        if self.status != _status({"parked": self.parked, "suspended": self.suspended, "deleted": self.deleted}):
            raise ValueError(f"status {self.status} does not follow from the holds")
        return self


class TenantState(Contract):
    """`GET /v1.0/tenants/{tenantId}/status`: what holds the tenant, without the rest of it."""

    tenant_id: Uuid
    status: TenantStatus
    registration_status: RegistrationStatus
    parked: Hold | None = None
    suspended: Hold | None = None
    deleted: Hold | None = None
    purge_at: Timestamp | None = None
    purged_at: Timestamp | None = None

    @classmethod
    def of(cls, tenant: Tenant) -> Self:
        common = cls.model_fields.keys() - {"tenant_id"}
        return cls.model_validate({"tenant_id": tenant.id} | {name: getattr(tenant, name) for name in common})


def _status(holds: Mapping[str, Any]) -> TenantStatus:
    if holds["deleted"]:
        return "DELETED"
    if holds["suspended"]:
        return "SUSPENDED"
    return "PARKED" if holds["parked"] else "ACTIVE"
