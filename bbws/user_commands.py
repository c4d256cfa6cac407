"""What the commands on users do; `cli_users.py` only reads their arguments."""

import getpass
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from pydantic import BaseModel

from bbws.demo_users import PASSWORD, RoleName, demo_user
from bbws.shared.audit import acting
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.contracts.pages import MAX_PAGE_SIZE, PageRequest
from bbws.shared.contracts.users import StaffRole, TenantRole, UserAssignmentDraft
from bbws.shared.errors import NotFound, Unavailable
from bbws.shared.settings import Settings

_NOBODY = "nobody"


async def token(
    settings: Settings, role: RoleName, tenant_id: str | None, email: str | None, password: str | None
) -> str:
    """An access token: of `email` with `password`, or of the demo user of a role.

    Raises Unauthenticated where the pool refuses them, Rejected for a demo user where people are real.
    """
    async with _acting(settings) as services:
        clients = services.settings.cognito_client_ids
        if not clients:
            raise Unavailable("cognito-idp", "no user pool is set (BBWS_COGNITO_USER_POOL_ID, BBWS_COGNITO_CLIENT_IDS)")
        if email is None or password is None:
            email, password = (await demo_user(services, role, tenant_id)).email, PASSWORD
        return await services.directory.sign_in(clients[0], email, password)


async def assign(settings: Settings, tenant_id: str, email: str, role: TenantRole) -> dict[str, Any]:
    async with _acting(settings) as services:
        draft = UserAssignmentDraft(email=email, role=role)
        return _told((await services.users.assign(tenant_id, draft, actor=_actor()))[0])


async def remove(settings: Settings, tenant_id: str, email: str) -> dict[str, Any]:
    """What the user was until now."""
    async with _acting(settings) as services:
        user_id = await _user_id(services, email)
        assignment = await services.users.get(tenant_id, user_id)
        await services.users.remove(tenant_id, user_id, version=assignment.version, actor=_actor())
        return _told(assignment)


async def users_of(settings: Settings, tenant_id: str | None) -> list[dict[str, Any]]:
    """All users of a tenant; without one all members of the staff."""
    async with _acting(settings) as services:
        found: list[dict[str, Any]] = []
        page = PageRequest(MAX_PAGE_SIZE)
        while True:
            listed: Any = (
                await services.users.list_of_tenant(tenant_id, page)
                if tenant_id
                else await services.staff.list_all(page)
            )
            found += [_told(each) for each in listed.items]
            if listed.next_cursor is None:
                return found
            page = PageRequest(MAX_PAGE_SIZE, listed.next_cursor)


async def tenants_of(settings: Settings, email: str) -> list[dict[str, Any]]:
    """The user's role in each of their tenants."""
    async with _acting(settings) as services:
        user_id = await _user_id(services, email)
        found: list[dict[str, Any]] = []
        page = PageRequest(MAX_PAGE_SIZE)
        while True:
            listed = await services.users.list_of_user(user_id, page)
            found += [_told(each) for each in listed.items]
            if listed.next_cursor is None:
                return found
            page = PageRequest(MAX_PAGE_SIZE, listed.next_cursor)


async def grant(settings: Settings, email: str, role: StaffRole, password: str | None) -> dict[str, Any]:
    async with _acting(settings) as services:
        return _told(await services.staff.grant(email, role, actor=_actor(), password=password))


async def revoke(settings: Settings, email: str, role: StaffRole) -> dict[str, Any]:
    async with _acting(settings) as services:
        return _told(await services.staff.revoke(email, role, actor=_actor()))


def lines(records: Sequence[Mapping[str, Any]], *, as_json: bool) -> str:
    """For people a line each; for programs JSON."""
    if as_json:
        return orjson.dumps(records, option=orjson.OPT_INDENT_2).decode()
    return "\n".join(_line(record) for record in records) or _NOBODY


def _line(record: Mapping[str, Any]) -> str:
    roles = ", ".join(record["roles"]) or "no role" if "roles" in record else record["role"]
    tenant = f"  tenant {record['tenantId']}" if "tenantId" in record else ""
    return f"{record['email']:<40} {roles:<16} {record['userId']}{tenant}"


async def _user_id(services: Services, email: str) -> str:
    user = await services.directory.find_by_email(email)
    if user is None:
        raise NotFound(f"the user pool does not know {email}")
    return user.user_id


@asynccontextmanager
async def _acting(settings: Settings) -> AsyncIterator[Services]:
    with acting("cli"):
        async with bootstrap(settings) as services:
            yield services


def _actor() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        # A container's user has a number and no name.
        return f"cli:{os.getuid()}"


def _told(record: BaseModel) -> dict[str, Any]:
    return record.model_dump(mode="json")
