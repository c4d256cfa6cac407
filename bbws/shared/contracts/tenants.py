"""A tenant is a customer of the hosting company."""

from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, EmailStr, Field

from bbws.shared.contracts.base import Contract, Line, Record, Uuid

RegistrationStatus = Literal["UNVALIDATED", "VALIDATED", "REGISTERED"]
TenantStatus = Literal["ACTIVE", "PARKED", "SUSPENDED", "DELETED"]
Environment = Literal["dev", "sit", "prod"]


def _ascii_before_the_at(address: str) -> str:
    if not address.rpartition("@")[0].isascii():
        raise ValueError("letters beyond ASCII before the @ cannot be reached by mail from here")
    return address


# SES takes no SMTPUTF8: the domain may be international (it travels as punycode), the part before the @ may not.
Email = Annotated[EmailStr, Field(max_length=254), AfterValidator(_ascii_before_the_at)]


class TenantDraft(Contract):
    """`POST /v1.0/tenants`, by an operator."""

    organization_name: Annotated[Line, Field(max_length=120)]
    email: Annotated[Email, Field(validation_alias=AliasChoices("email", "contactEmail", "contact_email"))]
    environment: Environment = "prod"
    destination_email: Email | None = None


class Registration(Contract):
    """`POST /v1.0/registrations`, by a new customer."""

    email: Annotated[Email, Field(validation_alias=AliasChoices("email", "contactEmail", "contact_email"))]
    organization_name: Annotated[Line, Field(max_length=120)] | None = None


class Tenant(Record):
    id: Uuid
    email: Email
    organization_name: str | None = None
    destination_email: Email | None = None
    environment: Environment = "prod"
    status: TenantStatus = "ACTIVE"
    registration_status: RegistrationStatus = "UNVALIDATED"
