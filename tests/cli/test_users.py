"""`bbws users` and `bbws token` as a person uses them, on a real user pool."""

import asyncio
import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from bbws.local.demo_users import demo_user
from bbws.shared.bootstrap import Services
from bbws.shared.contracts.audit import PLATFORM
from bbws.shared.contracts.tenancy.tenants import Registration
from bbws.shared.errors import Rejected
from bbws.shared.ids import new_id
from tests.support.commands import account_of, bbws
from tests.support.emulator import Aws
from tests.support.market import Market
from tests.support.people import trail_of

pytestmark = pytest.mark.needs("cognito", "dynamodb")
PASSWORD = "a long enough password"


async def _bbws(
    aws: Aws, *arguments: str, given: str = "", environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, which knows endpoint and keys alone."""
    told = account_of(aws) | (environment or {})
    return await asyncio.to_thread(bbws, *arguments, given=given.encode(), environment=told)


async def _told(aws: Aws, *arguments: str, given: str = "") -> Any:
    done = await _bbws(aws, *arguments, "--json", given=given)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def _refused(aws: Aws, *arguments: str, given: str = "", environment: dict[str, str] | None = None) -> str:
    """The one line that a person reads."""
    done = await _bbws(aws, *arguments, given=given, environment=environment)
    assert (done.returncode, done.stdout) == (1, ""), done
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    return line


async def test_users_of_a_tenant_are_assigned_listed_and_removed(services: Services, aws: Aws) -> None:
    """What an operator does for a customer on the telephone, with their own name in the trail."""
    tenant = await services.registrations.for_customer(Registration(email=f"{new_id()}@protea.example"))
    owner = await _told(aws, "users", "assign", tenant.id, "thandi@protea.example", "--role", "owner")
    assert (owner["role"], owner["lastUpdatedBy"][:4]) == ("OWNER", "cli:")
    await _told(aws, "users", "assign", tenant.id, "sipho@protea.example", "--role", "member")
    again = await _refused(aws, "users", "assign", tenant.id, "sipho@protea.example", "--role", "viewer")
    assert "MEMBER of the tenant already" in again
    changed = await _told(aws, "users", "change", tenant.email, "sipho@protea.example", "--role", "viewer")
    assert (changed["role"], changed["version"]) == ("VIEWER", 2)
    listed = await _told(aws, "users", "list", tenant.email)
    assert {user["email"]: user["role"] for user in listed} == {
        "thandi@protea.example": "OWNER", "sipho@protea.example": "VIEWER"
    }  # fmt: skip
    (own,) = await _told(aws, "users", "tenants", "sipho@protea.example")
    assert own["tenantId"] == tenant.id
    assert "last owner" in await _refused(aws, "users", "remove", tenant.id, "thandi@protea.example")
    await _told(aws, "users", "remove", tenant.id, "sipho@protea.example")
    lines = (await _bbws(aws, "users", "list", tenant.id)).stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("thandi@protea.example")
    entries = await trail_of(Market(aws, services), tenant.id)
    removed = next(entry for entry in entries if entry.action == "USER_REMOVED")
    assert removed.details is not None
    assert (removed.actor[:4], removed.details.source) == ("cli:", "cli")


async def test_staff_are_granted_and_revoked_and_sign_in_with_the_password_given(services: Services, aws: Aws) -> None:
    """The first admin of an installation is made here; the password never stands on the command line."""
    email = "olga@bbws.example"
    assert "give the new user a password" in await _refused(aws, "users", "grant", email, "--role", "admin")
    grant = ("users", "grant", email, "--role", "admin", "--password-stdin")
    member = await _told(aws, *grant, given=f"{PASSWORD}\n")
    assert member["roles"] == ["ADMIN"]
    signed_in = await _bbws(aws, "token", "--email", email, "--password-stdin", given=PASSWORD)
    claims = await services.tokens.verify(signed_in.stdout.strip())
    assert (claims.user_id, claims.groups) == (member["userId"], frozenset({"Admin"}))
    assert [each["email"] for each in await _told(aws, "users", "list")] == [email]
    revoked = await _told(aws, "users", "revoke", email, "--role", "admin")
    assert (revoked["roles"], revoked["active"]) == ([], False)
    assert await services.directory.groups_of(member["userId"]) == frozenset()
    assert {entry.action for entry in await trail_of(Market(aws, services), PLATFORM)} == {
        "STAFF_ROLE_GRANTED", "STAFF_ROLE_REVOKED"
    }  # fmt: skip


async def test_a_token_of_a_role_can_be_had_for_any_tenant(services: Services, aws: Aws) -> None:
    """Somebody who looks into a customer's tenant on their own machine gets a member of it."""
    tenant = await services.registrations.for_customer(Registration(email=f"{new_id()}@protea.example"))
    done = await _bbws(aws, "token", "--role", "member", "--tenant", tenant.id)
    (line,) = done.stdout.splitlines()
    claims = await services.tokens.verify(line)
    assert claims.groups == frozenset()
    assert await services.users.role_in(tenant.id, claims.user_id) == "MEMBER"


async def test_what_cannot_be_had_is_one_line(services: Services, aws: Aws) -> None:
    """No traceback, no secret, and what to do instead."""
    assert "there is no tenant" in await _refused(aws, "token", "--role", "viewer", "--tenant", new_id())
    wrong = ("token", "--email", "nobody@bbws.example", "--password-stdin")
    assert "user pool refuses" in await _refused(aws, *wrong, given=PASSWORD)
    assert "does not know" in await _refused(aws, "users", "tenants", "nobody@bbws.example")
    earnest = {
        "BBWS_ENVIRONMENT": "dev",
        "BBWS_CURSOR_SIGNING_KEY": "c" * 32,
        "BBWS_TOKEN_SIGNING_KEY": "t" * 32,
        "BBWS_AUDIT_SIGNING_KEYS": "a" * 32,
        "BBWS_PAYFAST_PASSPHRASE": "a long passphrase",
        "BBWS_COGNITO_USER_POOL_ID": services.settings.cognito_user_pool_id or "",
        "BBWS_COGNITO_CLIENT_IDS": ",".join(services.settings.cognito_client_ids),
    }
    assert "environment local" in await _refused(aws, "token", "--role", "admin", environment=earnest)
    usage = await _bbws(aws, "token", "--email", "a@b.example")
    assert (usage.returncode, "belong together" in usage.stderr) == (2, True)
    usage = await _bbws(aws, "token", "--tenant", new_id())
    assert (usage.returncode, "owner, member or viewer" in usage.stderr) == (2, True)


async def test_nobody_with_a_public_password_is_made_without_an_emulator(services: Services) -> None:
    """The environment is `local` unless somebody says so, and without an endpoint AWS is the real one."""
    real = replace(services, settings=services.settings.model_copy(update={"aws_endpoint_url": None}))
    with pytest.raises(Rejected, match="emulator"):
        await demo_user(real, "admin")
    assert await services.directory.find_by_email("admin@bbws.example") is None
