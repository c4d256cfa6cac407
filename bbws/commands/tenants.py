"""What the commands of `bbws tenants` do; `cli/tenants.py` only reads their arguments."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bbws.commands.console_lines import printable
from bbws.commands.services import listed, named_tenant, services_of
from bbws.shared.bootstrap import Services
from bbws.shared.clock import iso
from bbws.shared.contracts.base import Line
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.tenancy.tenants import Hold, Tenant
from bbws.shared.errors import Invalid
from bbws.shared.settings import Settings

Read = Callable[[Any, PageRequest], Awaitable[Page[Tenant]]]

_REASON: TypeAdapter[str | None] = TypeAdapter(Line | None)


async def list_tenants(settings: Settings, by: str, value: str, limit: int) -> list[Tenant]:
    """At most `limit`, by `status`, `environment`, `organization` or `email`."""
    async with services_of(settings) as services:
        return await listed(partial(_lists(services)[by], value), most=limit)


async def show_tenant(settings: Settings, tenant: str) -> Tenant:
    async with services_of(settings) as services:
        return await named_tenant(services, tenant)


async def act(settings: Settings, actor: str, action: str, tenant: str, reason: str | None) -> Tenant:
    """The tenant afterwards; the same as before where it is so already."""
    checked = _checked(reason)
    async with services_of(settings) as services:
        found, tenants = await named_tenant(services, tenant), services.tenants
        actions: Mapping[str, Any] = {
            "park": tenants.park,
            "unpark": tenants.unpark,
            "suspend": tenants.suspend,
            "resume": tenants.resume,
        }
        changed: Tenant = await actions[action](found.id, reason=checked, actor=actor)
        return changed


async def export_tenant(settings: Settings, actor: str, tenant: str, write: Callable[[bytes], object]) -> int:
    """How many lines were written."""
    async with services_of(settings) as services:
        found, lines = await named_tenant(services, tenant), 0
        async for line in await services.tenant_records.export(found.id, actor=actor):
            write(line)
            lines += 1
        return lines


def line_of(tenant: Tenant) -> str:
    name = printable(tenant.organization_name or "-")
    return f"{tenant.id}  {tenant.status:<9}  {tenant.environment:<4}  {printable(tenant.email):<32}  {name}"


def described(tenant: Tenant) -> str:
    """Every field on a line of its own, without those that say nothing."""
    rows = {
        "id": tenant.id,
        "organisation": tenant.organization_name,
        "e-mail": tenant.email,
        "destination e-mail": tenant.destination_email,
        "environment": tenant.environment,
        "status": tenant.status,
        "registration": tenant.registration_status,
        "parked": _held(tenant.parked),
        "suspended": _held(tenant.suspended),
        "deleted": _held(tenant.deleted),
        "purge": tenant.purge_at and not tenant.purged_at and f"on {iso(tenant.purge_at)}",
        "purged": tenant.purged_at and iso(tenant.purged_at),
        "created": iso(tenant.date_created),
        "last changed": f"{iso(tenant.date_last_updated)} by {tenant.last_updated_by}",
        "version": str(tenant.version),
    }
    return "\n".join(f"{name:<20}{printable(value)}" for name, value in rows.items() if value)


def _held(hold: Hold | None) -> str | None:
    if hold is None:
        return None
    return f"since {iso(hold.since)} by {hold.by}" + (f": {hold.reason}" if hold.reason else "")


def _lists(services: Services) -> Mapping[str, Read]:
    tenants = services.tenants
    return {
        "status": tenants.list_by_status,
        "environment": tenants.list_by_environment,
        "organization": tenants.list_by_organization,
        "email": tenants.list_by_email,
    }


def _checked(reason: str | None) -> str | None:
    try:
        return _REASON.validate_python(reason)
    except ValidationError:
        raise Invalid("a reason is one line of 1 to 200 characters") from None
