"""Registering: a link is asked for, and followed."""

import asyncio

from aiohttp import web

from bbws.gateway.api.tenancy.tenants import tenant_path
from bbws.gateway.keys import services
from bbws.gateway.requests import body, resource_id
from bbws.gateway.responses import API, link, record, resource
from bbws.shared.contracts.tenancy.registrations import Confirmation, RegistrationAccepted
from bbws.shared.contracts.tenancy.tenants import Registration

PATH = f"{API}/registrations"
# A new tenant takes a few milliseconds more than a known one: no answer comes sooner than this, so that the time tells
# nobody who is a customer.
ANSWERED_AFTER_S = 0.4


async def create_registration(request: web.Request) -> web.Response:
    registration = body(request, Registration)
    requested = services(request).registrations.request(registration, tenant_id=resource_id(request))
    await asyncio.gather(requested, asyncio.sleep(ANSWERED_AFTER_S))
    links = {"confirm": link(f"{PATH}/confirmations")}
    return resource(request, RegistrationAccepted(), links, status=202)


async def confirm_registration(request: web.Request) -> web.Response:
    tenant = (await services(request).confirmations.confirm(body(request, Confirmation))).tenant
    here = tenant_path(tenant.id)
    links = {"self": link(here), "orders": link(f"{here}/orders")}
    return record(request, tenant, links)
