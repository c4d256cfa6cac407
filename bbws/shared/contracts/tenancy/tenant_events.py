"""What happens to tenants, on the bus with source `bbws.tenant`."""

from typing import Literal

from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.tenancy.tenants import Email, Tenant

TENANT_SOURCE = "bbws.tenant"


class TenantData(Contract):
    """The tenant as it is after the change; `reason` where somebody gave one."""

    tenant: Tenant
    reason: str | None = None


class TenantEvent(Envelope):
    SOURCE = TENANT_SOURCE

    source: Literal["bbws.tenant"] = "bbws.tenant"
    data: TenantData


class TenantCreated(TenantEvent):
    TYPE = "TENANT_CREATED"

    type: Literal["TENANT_CREATED"] = "TENANT_CREATED"
    dataschema: Literal["urn:bbws:event:TENANT_CREATED:1"] = "urn:bbws:event:TENANT_CREATED:1"


class TenantUpdated(TenantEvent):
    TYPE = "TENANT_UPDATED"

    type: Literal["TENANT_UPDATED"] = "TENANT_UPDATED"
    dataschema: Literal["urn:bbws:event:TENANT_UPDATED:1"] = "urn:bbws:event:TENANT_UPDATED:1"


class TenantParked(TenantEvent):
    TYPE = "TENANT_PARKED"

    type: Literal["TENANT_PARKED"] = "TENANT_PARKED"
    dataschema: Literal["urn:bbws:event:TENANT_PARKED:1"] = "urn:bbws:event:TENANT_PARKED:1"


class TenantUnparked(TenantEvent):
    TYPE = "TENANT_UNPARKED"

    type: Literal["TENANT_UNPARKED"] = "TENANT_UNPARKED"
    dataschema: Literal["urn:bbws:event:TENANT_UNPARKED:1"] = "urn:bbws:event:TENANT_UNPARKED:1"


class TenantSuspended(TenantEvent):
    TYPE = "TENANT_SUSPENDED"

    type: Literal["TENANT_SUSPENDED"] = "TENANT_SUSPENDED"
    dataschema: Literal["urn:bbws:event:TENANT_SUSPENDED:1"] = "urn:bbws:event:TENANT_SUSPENDED:1"


class TenantResumed(TenantEvent):
    TYPE = "TENANT_RESUMED"

    type: Literal["TENANT_RESUMED"] = "TENANT_RESUMED"
    dataschema: Literal["urn:bbws:event:TENANT_RESUMED:1"] = "urn:bbws:event:TENANT_RESUMED:1"


class TenantDeleted(TenantEvent):
    TYPE = "TENANT_DELETED"

    type: Literal["TENANT_DELETED"] = "TENANT_DELETED"
    dataschema: Literal["urn:bbws:event:TENANT_DELETED:1"] = "urn:bbws:event:TENANT_DELETED:1"


class TenantRestored(TenantEvent):
    TYPE = "TENANT_RESTORED"

    type: Literal["TENANT_RESTORED"] = "TENANT_RESTORED"
    dataschema: Literal["urn:bbws:event:TENANT_RESTORED:1"] = "urn:bbws:event:TENANT_RESTORED:1"


class RegistrationData(Contract):
    """Who gets a link by mail, and what for. The link's token is made when the mail is sent: no secret is in here."""

    email: Email
    purpose: Literal["REGISTRATION", "INVITATION"]
    organization_name: str | None = None


class RegistrationRequested(Envelope):
    TYPE = "REGISTRATION_REQUESTED"
    SOURCE = TENANT_SOURCE

    source: Literal["bbws.tenant"] = "bbws.tenant"
    type: Literal["REGISTRATION_REQUESTED"] = "REGISTRATION_REQUESTED"
    dataschema: Literal["urn:bbws:event:REGISTRATION_REQUESTED:1"] = "urn:bbws:event:REGISTRATION_REQUESTED:1"
    data: RegistrationData


TENANT_EVENTS: tuple[type[Envelope], ...] = (
    TenantCreated,
    TenantUpdated,
    TenantParked,
    TenantUnparked,
    TenantSuspended,
    TenantResumed,
    TenantDeleted,
    TenantRestored,
    RegistrationRequested,
)
