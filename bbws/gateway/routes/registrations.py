"""Registering: ask for a link by mail, and follow it."""

from bbws.gateway.api.tenancy import registrations
from bbws.gateway.operations import Answer, Route
from bbws.shared.contracts.tenancy.registrations import Confirmation, RegistrationAccepted
from bbws.shared.contracts.tenancy.tenants import Registration, Tenant

REGISTRATIONS: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1.0/registrations",
        operation_id="registration-create",
        handler=registrations.create_registration,
        summary="Register, or get a new link",
        tag="registrations",
        access="public",
        description=(
            "Mails a link to the address, at most once in two minutes. Follow it within 24 hours to set a password; "
            "that makes a new customer's tenant, or sets a new password for one who is known. The answer is the same "
            "for both. A company name that another tenant has is left out; the mail says so."
        ),
        request=Registration,
        answers={202: Answer("A mail is on its way", RegistrationAccepted, "resource")},
        idempotency="optional",
    ),
    Route(
        method="POST",
        path="/v1.0/registrations/confirmations",
        operation_id="registration-confirm",
        handler=registrations.confirm_registration,
        summary="Follow a mailed link",
        tag="registrations",
        access="public",
        description=(
            "`token` is what the mailed link holds. It works once, and a password that is refused does not use it up. "
            "422 with the pointer `#/token` says that the link no longer works: ask for a new one. 409 says that "
            "somebody else is following the link at this moment."
        ),
        request=Confirmation,
        answers={200: Answer("The tenant in which the user signs in", Tenant, "resource", etag=True)},
        errors=(409,),
    ),
)
