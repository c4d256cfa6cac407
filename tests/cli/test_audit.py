"""`bbws audit` as a person and a cron job use it: lines, JSON, exit codes."""

import asyncio
import json
from typing import Any

import pytest

from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.contracts.sales.products import Product
from bbws.shared.core.audit_entries import AuditRepository
from bbws.shared.dynamo.database import Delete
from bbws.shared.dynamo.keys import TENANTS
from bbws.shared.ids import new_id
from bbws.shared.settings import Settings
from tests.support.commands import bbws
from tests.support.market import product_draft

pytestmark = pytest.mark.needs("dynamodb")


async def _bbws(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `bbws audit`."""
    done = await asyncio.to_thread(bbws, "audit", *arguments, environment=settings.as_environment())
    return done.returncode, done.stdout, done.stderr


async def _three_changes(services: Services) -> Product:
    product = await services.products.create(product_draft(), actor="user:thabo", product_id=new_id())
    await services.products.update(product.id, product_draft(name="Newer"), version=1, actor="user:thabo")
    return await services.products.retire(product.id, version=2, actor="user:thabo")


async def _remove_second(services: Services) -> None:
    entries = [entry async for entry in services.audit_trails.export("platform")]
    item = AuditRepository(services.database).new(entries[1]).item
    await services.database.write(Delete(TENANTS, (item["PK"], item["SK"])))


async def test_a_trail_that_holds_exits_with_zero_and_one_that_does_not_with_one(provisioned: Settings) -> None:
    """The line of a cron job: what holds is told with its end, which is the anchor of tomorrow."""
    async with bootstrap(provisioned) as services:
        await _three_changes(services)
        assert await _bbws(provisioned, "verify", "platform") == (
            0, "platform: 3 entries, sealed up to nothing, 3 not sealed yet\n", "",
        )  # fmt: skip
        await services.audit_trails.seal_due()
        code, holds, _ = await _bbws(provisioned, "verify", "platform")
        anchor = holds.split("sealed up to ")[1].split(",")[0]
        assert (code, holds) == (0, f"platform: 3 entries, sealed up to {anchor}, 0 not sealed yet\n")
        await _remove_second(services)
    code, out, _ = await _bbws(provisioned, "verify", "platform", "--anchor", anchor)
    assert (code, out.splitlines()[1:]) == (1, ["  REMOVED         entry 2 is removed"])
    wrong = f"3:{'0' * 64}"
    code, out, _ = await _bbws(provisioned, "verify", "platform", "--anchor", wrong, "--json")
    (report,) = json.loads(out)
    assert (code, report["holds"], report["entries"], report["sealedUpTo"]) == (1, False, 2, 3)
    assert [(finding["kind"], finding["sequence"]) for finding in report["findings"]] == [
        ("REMOVED", 2), ("ANCHOR", None),
    ]  # fmt: skip


async def test_patience_decides_what_should_have_been_sealed(provisioned: Settings) -> None:
    """Housekeeping that has stopped shows as entries that nobody seals."""
    async with bootstrap(provisioned) as services:
        await _three_changes(services)
    code, out, _ = await _bbws(provisioned, "verify", "platform", "--patience", "0")
    assert (code, out.count("NOT_SEALED")) == (1, 3)


async def test_entries_are_listed_and_exported(provisioned: Settings, tmp_path: Any) -> None:
    """For eyes newest first, for programs whole."""
    async with bootstrap(provisioned) as services:
        product = await _three_changes(services)
        await services.audit_trails.seal_due()
    code, out, _ = await _bbws(provisioned, "list", "platform", "--limit", "2")
    newest, older = out.splitlines()
    assert code == 0
    assert f"#3          PRODUCT_RETIRED          products/{product.id}  by user:thabo from unknown" in newest
    assert "PRODUCT_UPDATED" in older
    _, listed, _ = await _bbws(provisioned, "list", "platform", "--json")
    assert await _bbws(provisioned, "export", "platform", "--file", str(tmp_path / "trail")) == (0, "", "")
    _, exported, _ = await _bbws(provisioned, "export", "platform")
    assert (tmp_path / "trail").read_text() == exported
    assert [json.loads(line) for line in exported.splitlines()] == json.loads(listed)[::-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["verify", "nobody"], "Error: there is no tenant nobody"),
        (["verify", "platform", "--anchor", "17"], "Error: an anchor is a place in the chain and its hash"),
        (["verify", "platform", "platform", "--anchor", "17"], "Error: an anchor belongs to one trail"),
        (["list", "nobody"], "Error: there is no tenant nobody"),
        (["export", "nobody"], "Error: there is no tenant nobody"),
    ],
)
async def test_a_slip_of_the_pen_is_one_line(provisioned: Settings, arguments: list[str], told: str) -> None:
    """No traceback, and no exit code that looks like a trail that holds."""
    code, out, err = await _bbws(provisioned, *arguments)
    assert (code != 0, out) == (True, "")
    assert err.splitlines()[-1].startswith(told)
