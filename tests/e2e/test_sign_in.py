"""`bbws up` and `bbws token` together: whoever starts the system can call it a moment later, in each role."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from bbws.local.demo_users import TENANT_ID
from bbws.local.up import ACCOUNT, SECRET_ACCESS_KEY, System
from tests.support.commands import bbws
from tests.support.forks import forked

pytestmark = [pytest.mark.e2e, pytest.mark.needs("cognito")]


async def test_every_demo_user_signs_in_and_may_what_their_role_may(tmp_path: Path) -> None:
    """A token from another terminal, which knows endpoint and keys alone; also after a clean stop and a new start."""
    async with System(tmp_path, spawn=forked, settings={"receive_wait_s": 1}) as system:
        pool = system.settings.cognito_user_pool_id
        operator, viewer = await asyncio.gather(_token(system, "operator"), _token(system, "viewer"))
        assert await _status(system, operator, "GET", f"/v1.0/tenants/{TENANT_ID}") == 200
        assert await _status(system, viewer, "GET", f"/v1.0/tenants/{TENANT_ID}") == 200
        assert await _status(system, viewer, "POST", "/v1.0/tenants") == 403
    async with System(tmp_path, spawn=forked, settings={"receive_wait_s": 1}) as system:
        assert system.settings.cognito_user_pool_id == pool
        admin, owner = await asyncio.gather(_token(system, "admin"), _token(system, "owner"))
        assert await _status(system, admin, "GET", f"/v1.0/tenants/{TENANT_ID}/users") == 200
        assert await _status(system, owner, "GET", f"/v1.0/tenants/{TENANT_ID}/hierarchy") == 200
        assert await _status(system, owner, "POST", "/v1.0/tenants") == 403


async def _token(system: System, role: str) -> str:
    """What the command prints, as a shell would take it."""
    keys = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}
    environment = keys | {"AWS_ENDPOINT_URL": system.emulator_url}
    done = await asyncio.to_thread(bbws, "token", "--role", role, environment=environment)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return line


async def _status(system: System, token: str, method: str, path: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, system.base_url + path) as answer,
    ):
        return answer.status
