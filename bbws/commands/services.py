"""What commands on tenants and users have in common: services, the tenant that a person names, whole lists."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from bbws.commands.console_lines import printable
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.contracts.pages import MAX_PAGE_SIZE, Page, PageRequest
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.errors import NotFound
from bbws.shared.ids import new_id
from bbws.shared.logging import bound
from bbws.shared.settings import Settings

T = TypeVar("T")


@asynccontextmanager
async def services_of(settings: Settings) -> AsyncIterator[Services]:
    """Services for one command: whatever it changes has one correlation id."""
    async with bootstrap(settings) as services:
        with bound(correlation_id=new_id()):
            yield services


async def named_tenant(services: Services, tenant: str) -> Tenant:
    """By its id or its e-mail. Raises NotFound."""
    if "@" not in tenant:
        return await services.tenants.get(tenant.lower())
    page = await services.tenants.list_by_email(tenant, PageRequest(limit=1))
    if not page.items:
        raise NotFound(f"there is no tenant {printable(tenant)}")
    return page.items[0]


async def listed(read: Callable[[PageRequest], Awaitable[Page[T]]], *, most: int | None = None) -> list[T]:
    """All pages of a list, or its first `most` items."""
    found: list[T] = []
    cursor: str | None = None
    while most is None or len(found) < most:
        page = await read(PageRequest(MAX_PAGE_SIZE if most is None else min(most - len(found), MAX_PAGE_SIZE), cursor))
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found
