"""`bbws tenants` as an operator uses it: answers for people and for programs, one-line errors, exit codes."""

import asyncio
import json
import subprocess
from getpass import getuser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bbws.cli.app import cli
from bbws.shared.contracts.tenancy.tenants import TenantDraft
from bbws.shared.ids import new_id
from tests.support.commands import account_of, bbws
from tests.support.emulator import Aws
from tests.support.market import Market
from tests.support.tenants import events_of, trail_of

pytestmark = pytest.mark.needs("dynamodb", "events", "s3")


def _run(aws: Aws, *arguments: str) -> subprocess.CompletedProcess[str]:
    return bbws("tenants", *arguments, environment=account_of(aws))


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The only line that is an error; nothing on standard output."""
    assert (done.returncode, done.stdout) == (1, ""), done
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in done.stderr
    return line


async def test_tenant_is_held_and_released(shared_market: Market) -> None:
    """The way an operator goes at night; the trail names the person and that it was the command line."""
    tenant = await shared_market.tenant(organization_name=f"Org {new_id()}")
    aws = shared_market.aws
    parked = _json(_run(aws, "park", tenant.id, "--reason", "Closed in December", "--json"))
    assert (parked["status"], parked["parked"]["reason"]) == ("PARKED", "Closed in December")
    assert parked["parked"]["by"] == f"cli:{getuser()}"
    told = _run(aws, "suspend", tenant.email.upper(), "--reason", "unpaid")
    assert (told.returncode, "status              SUSPENDED" in told.stdout.splitlines()) == (0, True)
    assert _json(_run(aws, "unpark", tenant.id, "--json"))["status"] == "SUSPENDED"
    assert _json(_run(aws, "resume", tenant.id, "--json"))["status"] == "ACTIVE"
    shown = _json(_run(aws, "show", tenant.id, "--json"))
    assert shown == (await shared_market.services.tenants.get(tenant.id)).model_dump(mode="json")
    trail = await trail_of(shared_market.services.database, tenant.id)
    assert {(entry.actor, entry.details.source) for entry in trail[1:] if entry.details} == {
        (f"cli:{getuser()}", "cli")
    }


async def test_repeat_on_the_command_line_publishes_nothing(shared_market: Market) -> None:
    """A script that runs twice parks once."""
    tenant = await shared_market.tenant()
    first = _run(shared_market.aws, "park", tenant.id, "--reason", "pause")
    again = _run(shared_market.aws, "park", tenant.id, "--reason", "pause")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    events = await events_of(shared_market.services.database, tenant.id)
    assert [event.type for event in events] == ["TENANT_CREATED", "TENANT_PARKED"]


async def test_tenants_are_listed_by_one_filter(market: Market) -> None:
    """More than a page of a hundred, in the order of the API; two filters are a usage error."""
    tenants = market.services.tenants
    for number in range(3):
        draft = TenantDraft(organization_name=f"Org {number}", email=f"o{number}@example.com", environment="sit")
        await tenants.create(draft, actor="test", tenant_id=new_id())
    listed = _json(_run(market.aws, "list", "--json"))
    assert [each["organizationName"] for each in listed] == ["Org 2", "Org 1", "Org 0"]
    assert [
        each["email"] for each in _json(_run(market.aws, "list", "--environment", "sit", "--limit", "2", "--json"))
    ] == [
        "o2@example.com",
        "o1@example.com",
    ]
    (found,) = _json(_run(market.aws, "list", "--organization", "ORG  1", "--json"))
    assert _run(market.aws, "list", "--email", "O1@example.com").stdout.split()[:4] == [
        found["id"], "ACTIVE", "sit", "o1@example.com"
    ]  # fmt: skip
    assert (_run(market.aws, "list", "--status", "DELETED").stdout, _run(market.aws, "list").stdout.count("\n")) == (
        "",
        3,
    )


async def test_more_tenants_than_a_page_are_listed(market: Market) -> None:
    """The command follows the cursor by itself, up to its limit."""
    await asyncio.gather(*(market.tenant() for _ in range(130)))
    assert len(_json(_run(market.aws, "list", "--limit", "120", "--json"))) == 120


async def test_export_writes_lines_to_a_file_or_standard_output(shared_market: Market, tmp_path: Path) -> None:
    """The same lines either way; a tenant that is not there leaves no file behind."""
    order = await shared_market.order()
    aws, file = shared_market.aws, tmp_path / "tenant.jsonl"
    printed = _run(aws, "export", order.tenant_id)
    kinds = {json.loads(line)["item"]["SK"].partition("#")[0] for line in printed.stdout.splitlines()}
    assert kinds == {"METADATA", "EVENT", "ORDER"}
    written = _json(_run(aws, "export", order.tenant_id, "--file", str(file), "--json"))
    assert written == {"exported": len(file.read_text().splitlines()), "file": str(file)}
    # Each export is in the trail, and so in the next one.
    assert written["exported"] == len(printed.stdout.splitlines()) + 1
    missing = tmp_path / "missing.jsonl"
    assert "there is no tenant" in _refusal(_run(aws, "export", new_id(), "--file", str(missing)))
    assert not missing.exists()


async def test_errors_are_one_line_that_says_what_to_do(shared_market: Market) -> None:
    """Exit code 1 for what the tenant's state forbids, 2 for a command that was not understood."""
    tenant, aws = await shared_market.tenant(), shared_market.aws
    await shared_market.services.tenants.suspend(tenant.id, reason="unpaid", actor="test")
    refused = _refusal(_run(aws, "park", tenant.id, "--reason", "pause"))
    assert refused == f"Error: tenant {tenant.id} is suspended; resume it first"
    assert "there is no tenant nobody" in _refusal(_run(aws, "show", "nobody"))
    assert "there is no tenant nobody@example.com" in _refusal(_run(aws, "show", "nobody@example.com"))
    assert "one line of 1 to 200 characters" in _refusal(_run(aws, "park", tenant.id, "--reason", "two\nlines"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["park", "some"], "Missing option '--reason'"),
        (["suspend", "some"], "Missing option '--reason'"),
        (["list", "--status", "PARKED", "--email", "a@b.example"], "one filter at a time, not --status and --email"),
        (["list", "--status", "parked"], "'parked' is not one of"),
    ],
)
def test_what_was_not_understood_is_a_usage_error(arguments: list[str], told: str) -> None:
    """Before anything is asked of AWS."""
    answer = CliRunner().invoke(cli, ["tenants", *arguments], prog_name="bbws")
    assert (answer.exit_code, told in answer.output) == (2, True), answer.output
