"""What the commands of `bbws tenants` do."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bbws.console_lines import printable
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.clock import iso
from bbws.shared.contracts.base import Line
from bbws.shared.contracts.pages import MAX_PAGE_SIZE, Page, PageRequest
from bbws.shared.contracts.tenants import Hold, Tenant
from bbws.shared.errors import Invalid, NotFound
from bbws.shared.ids import new_id
from bbws.shared.logging import bound
from bbws.shared.settings import Settings

Read = Callable[[Any, PageRequest], Awaitable[Page[Tenant]]]

_REASON: TypeAdapter[str | None] = TypeAdapter(Line | None)


async def list_tenants(settings: Settings, by: str, value: str, limit: int) -> list[Tenant]:
    """At most `limit`, by `status`, `environment`, `organization` or `email`."""
    async with bootstrap(settings) as services:
        read, found, cursor = _lists(services)[by], list[Tenant](), None
        while len(found) < limit:
            page = await read(value, PageRequest(min(limit - len(found), MAX_PAGE_SIZE), cursor))
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        return found


async def show_tenant(settings: Settings, tenant: str) -> Tenant:
    async with bootstrap(settings) as services:
        return await _found(services, tenant)


async def act(settings: Settings, actor: str, action: str, tenant: str, reason: str | None) -> Tenant:
    """The tenant afterwards; the same as before where it is so already."""
    told = _checked(reason)
    async with bootstrap(settings) as services:
        found, tenants = await _found(services, tenant), services.tenants
        actions: Mapping[str, Any] = {
            "park": tenants.park,
            "unpark": tenants.unpark,
            "suspend": tenants.suspend,
            "resume": tenants.resume,
        }
        with bound(correlation_id=new_id()):
            changed: Tenant = await actions[action](found.id, reason=told, actor=actor)
        return changed


async def export_tenant(settings: Settings, actor: str, tenant: str, write: Callable[[bytes], object]) -> int:
    """How many lines were written."""
    async with bootstrap(settings) as services:
        found, lines = await _found(services, tenant), 0
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


async def _found(services: Services, tenant: str) -> Tenant:
    """By its id or its e-mail. Raises NotFound."""
    if "@" not in tenant:
        return await services.tenants.get(tenant.lower())
    page = await services.tenants.list_by_email(tenant, PageRequest(limit=1))
    if not page.items:
        raise NotFound(f"there is no tenant {printable(tenant)}")
    return page.items[0]


def _checked(reason: str | None) -> str | None:
    try:
        return _REASON.validate_python(reason)
    except ValidationError:
        raise Invalid("a reason is one line of 1 to 200 characters") from None
