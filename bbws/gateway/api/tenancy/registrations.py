"""Registering: a link is asked for, and followed."""

import asyncio

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.links import link_to
from bbws.gateway.requests import body, resource_id
from bbws.gateway.responses import record, resource
from bbws.gateway.route import Answer, Route
from bbws.shared.addresses import REGISTRATIONS
from bbws.shared.contracts.tenancy.registrations import Confirmation, RegistrationAccepted
from bbws.shared.contracts.tenancy.tenants import Registration, Tenant

# A new tenant takes a few milliseconds more than a known one: no answer comes sooner than this, so that the time tells
# nobody who is a customer.
ANSWERED_AFTER_S = 0.4


async def create_registration(request: web.Request) -> web.Response:
    registration = body(request, Registration)
    requested = services(request).registrations.request(registration, tenant_id=resource_id(request))
    await asyncio.gather(requested, asyncio.sleep(ANSWERED_AFTER_S))
    links = {"confirm": link_to(request, "registration-confirm")}
    return resource(request, RegistrationAccepted(), links, status=202)


async def confirm_registration(request: web.Request) -> web.Response:
    tenant = (await services(request).confirmations.confirm(body(request, Confirmation))).tenant
    links = {
        "self": link_to(request, "tenant-get", tenantId=tenant.id),
        "orders": link_to(request, "order-list", tenantId=tenant.id),
    }
    return record(request, tenant, links)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=REGISTRATIONS,
        operation_id="registration-create",
        handler=create_registration,
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
        path=f"{REGISTRATIONS}/confirmations",
        operation_id="registration-confirm",
        handler=confirm_registration,
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
