"""How tenants are organised: no orphans, no two siblings of one name, under any race."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bbws.shared.contracts.tenancy.hierarchies import (
    MAX_UNITS,
    HierarchyBranch,
    HierarchyUnit,
    HierarchyUnitDraft,
)
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.core.items import item_of
from bbws.shared.dynamo.codec import encode_item
from bbws.shared.errors import Conflict, Invalid, NotFound, PreconditionFailed
from bbws.shared.ids import new_id
from tests.support.builders import PLACED_AT
from tests.support.market import OPERATOR, Market
from tests.support.meanwhile import meanwhile
from tests.support.people import ACTOR, delete_tenant, trail_of


async def _made(market: Market, tenant: Tenant, name: str, parent: HierarchyUnit | None = None) -> HierarchyUnit:
    draft = HierarchyUnitDraft(name=name, parent_id=parent.id if parent else None)
    return await market.services.hierarchies.create(tenant.id, draft, actor=ACTOR, unit_id=new_id())


async def _tree(market: Market, tenant: Tenant) -> dict[str, object]:
    """Names within names."""
    return _names((await market.services.hierarchies.tree(tenant.id)).divisions)


def _names(branches: tuple[HierarchyBranch, ...]) -> dict[str, object]:
    return {branch.name: _names(branch.children) for branch in branches}


async def test_divisions_groups_and_teams_make_a_tree(shared_market: Market) -> None:
    """R-119: the kind follows from the place, and siblings stand by name."""
    tenant = await shared_market.tenant()
    assert (await shared_market.services.hierarchies.tree(tenant.id)).revision == 0
    sales = await _made(shared_market, tenant, "Sales")
    await _made(shared_market, tenant, "Baking")
    south = await _made(shared_market, tenant, "South", sales)
    team = await _made(shared_market, tenant, "Cape Town", south)
    await _made(shared_market, tenant, "Durban", south)
    assert [sales.kind, south.kind, team.kind] == ["DIVISION", "GROUP", "TEAM"]
    assert team.path == (sales.id, south.id, team.id)
    expected: dict[str, object] = {"Baking": {}, "Sales": {"South": {"Cape Town": {}, "Durban": {}}}}
    assert await _tree(shared_market, tenant) == expected
    assert list(expected) == list(await _tree(shared_market, tenant))
    keys = {item["SK"] for item in await shared_market.items("bbws-tenants", f"TENANT#{tenant.id}")}
    assert f"HIERARCHY#{sales.id}#{south.id}#{team.id}" in keys
    assert (await shared_market.services.hierarchies.tree(tenant.id)).revision == 5


async def test_a_new_name_moves_nothing(shared_market: Market) -> None:
    """Keys are made of ids: whoever is below stays where they are, and links stay good."""
    tenant = await shared_market.tenant()
    sales = await _made(shared_market, tenant, "Sales")
    south = await _made(shared_market, tenant, "South", sales)
    renamed = await shared_market.services.hierarchies.rename(tenant.id, sales.id, "Markets", version=1, actor=ACTOR)
    assert (renamed.name, renamed.version, renamed.path) == ("Markets", 2, sales.path)
    assert await _tree(shared_market, tenant) == {"Markets": {"South": {}}}
    assert await shared_market.services.hierarchies.get(tenant.id, south.id) == south
    with pytest.raises(PreconditionFailed):
        await shared_market.services.hierarchies.rename(tenant.id, sales.id, "Old", version=1, actor=ACTOR)


async def test_siblings_differ_by_name_and_cousins_need_not(shared_market: Market) -> None:
    """Capitals and spaces make no other name: people could not tell the two apart."""
    tenant = await shared_market.tenant()
    sales, baking = [await _made(shared_market, tenant, name) for name in ("Sales", "Baking")]
    await _made(shared_market, tenant, "South", sales)
    await _made(shared_market, tenant, "South", baking)
    with pytest.raises(Conflict) as refused:
        await _made(shared_market, tenant, "sales ")
    assert [error.pointer for error in refused.value.errors] == ["#/name"]
    with pytest.raises(Conflict):
        await shared_market.services.hierarchies.rename(tenant.id, baking.id, "SALES", version=1, actor=ACTOR)
    upper = await shared_market.services.hierarchies.rename(tenant.id, baking.id, "BAKING", version=1, actor=ACTOR)
    assert upper.name == "BAKING"


async def test_one_name_made_many_times_at_once_is_there_once(shared_market: Market) -> None:
    """Reading first is no protection; the revision is."""
    tenant = await shared_market.tenant()
    answers = await asyncio.gather(*(_made(shared_market, tenant, "Sales") for _ in range(8)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(Conflict) == 7
    assert await _tree(shared_market, tenant) == {"Sales": {}}


async def test_different_names_made_at_once_are_all_there(shared_market: Market) -> None:
    """Whoever was slower tries again, and nobody is refused for it."""
    tenant = await shared_market.tenant()
    await asyncio.gather(*(_made(shared_market, tenant, f"Division {number}") for number in range(8)))
    assert len(await _tree(shared_market, tenant)) == 8


async def test_a_parent_must_be_there_and_be_no_team(shared_market: Market) -> None:
    """No orphans, no fourth level; another tenant's division is none."""
    tenant, other = await shared_market.tenant(), await shared_market.tenant()
    foreign = await _made(shared_market, other, "Sales")
    division = await _made(shared_market, tenant, "Sales")
    team = await _made(shared_market, tenant, "Cape Town", await _made(shared_market, tenant, "South", division))
    for parent_id in (new_id(), foreign.id, team.id):
        draft = HierarchyUnitDraft(name="Lost", parent_id=parent_id)
        with pytest.raises(Invalid) as refused:
            await shared_market.services.hierarchies.create(tenant.id, draft, actor=ACTOR, unit_id=new_id())
        assert [error.pointer for error in refused.value.errors] == ["#/parentId"]
    with pytest.raises(NotFound):
        await shared_market.services.hierarchies.get(tenant.id, foreign.id)


async def test_only_what_is_empty_is_removed(shared_market: Market) -> None:
    """The refusal says what is in it, so that nobody has to look for it."""
    hierarchies, tenant = shared_market.services.hierarchies, await shared_market.tenant()
    sales = await _made(shared_market, tenant, "Sales")
    south = await _made(shared_market, tenant, "South", sales)
    teams = [await _made(shared_market, tenant, name, south) for name in ("Cape Town", "Durban")]
    with pytest.raises(Conflict, match="1 group and 2 teams are in this division"):
        await hierarchies.remove(tenant.id, sales.id, version=1, actor=ACTOR)
    with pytest.raises(Conflict, match="2 teams are in this group"):
        await hierarchies.remove(tenant.id, south.id, version=1, actor=ACTOR)
    for unit in (*teams, south, sales):
        await hierarchies.remove(tenant.id, unit.id, version=1, actor=ACTOR)
    assert await _tree(shared_market, tenant) == {}
    with pytest.raises(NotFound):
        await hierarchies.remove(tenant.id, sales.id, version=1, actor=ACTOR)


@pytest.mark.parametrize("round_", range(3))
async def test_a_parent_removed_while_a_child_is_made_leaves_no_orphan(shared_market: Market, round_: int) -> None:
    """One of the two is refused; a group without its division would be in no tree and nobody's."""
    hierarchies, tenant = shared_market.services.hierarchies, await shared_market.tenant()
    sales = await _made(shared_market, tenant, "Sales")
    made, removed = await asyncio.gather(
        _made(shared_market, tenant, "South", sales),
        hierarchies.remove(tenant.id, sales.id, version=1, actor=ACTOR),
        return_exceptions=True,
    )
    assert isinstance(made, Invalid) != isinstance(removed, Conflict)
    assert await _tree(shared_market, tenant) == ({} if removed is None else {"Sales": {"South": {}}})


async def test_every_change_is_in_the_trail(shared_market: Market) -> None:
    """Who renamed the department is asked sooner or later."""
    hierarchies, tenant = shared_market.services.hierarchies, await shared_market.tenant()
    unit = await _made(shared_market, tenant, "Sales")
    await hierarchies.rename(tenant.id, unit.id, "Markets", version=1, actor=ACTOR)
    await hierarchies.remove(tenant.id, unit.id, version=2, actor=ACTOR)
    entries = [entry for entry in await trail_of(shared_market, tenant.id) if "/hierarchy/" in entry.subject]
    actions = sorted(entry.action for entry in entries)
    assert actions == ["DIVISION_CREATED", "DIVISION_REMOVED", "DIVISION_RENAMED"]
    assert {(entry.subject, entry.actor) for entry in entries} == {(f"tenants/{tenant.id}/hierarchy/{unit.id}", ACTOR)}


async def test_a_repeat_with_the_same_id_makes_nothing_new(shared_market: Market) -> None:
    """A retry after a lost answer gets what the first one made."""
    hierarchies, tenant, unit_id = shared_market.services.hierarchies, await shared_market.tenant(), new_id()
    draft = HierarchyUnitDraft(name="Sales")
    first = await hierarchies.create(tenant.id, draft, actor=ACTOR, unit_id=unit_id)
    assert await hierarchies.create(tenant.id, draft, actor=ACTOR, unit_id=unit_id) == first


async def test_a_deleted_tenant_changes_no_more(shared_market: Market) -> None:
    """Staff are told to restore it first; one that never was is not found."""
    hierarchies, tenant = shared_market.services.hierarchies, await shared_market.tenant()
    unit = await _made(shared_market, tenant, "Sales")
    await delete_tenant(shared_market, tenant)
    with pytest.raises(Conflict, match="restore it first"):
        await _made(shared_market, tenant, "Baking")
    with pytest.raises(Conflict, match="restore it first"):
        await hierarchies.remove(tenant.id, unit.id, version=1, actor=ACTOR)
    with pytest.raises(NotFound):
        await hierarchies.tree(new_id())


@pytest.mark.parametrize("change", ["create", "rename", "remove"])
async def test_a_tenant_that_is_deleted_at_this_moment_changes_no_more(shared_market: Market, change: str) -> None:
    """It was open when it was read; what is written after the deletion comes back with the tenant, to nobody's wish."""
    services, tenant = shared_market.services, await shared_market.tenant()
    unit = await _made(shared_market, tenant, "Sales")
    changes: dict[str, Callable[[], Awaitable[Any]]] = {
        "create": lambda: _made(shared_market, tenant, "Baking"),
        "rename": lambda: services.hierarchies.rename(tenant.id, unit.id, "Markets", version=1, actor=ACTOR),
        "remove": lambda: services.hierarchies.remove(tenant.id, unit.id, version=1, actor=ACTOR),
    }
    with (
        meanwhile(lambda: services.tenants.delete(tenant.id, version=1, actor=OPERATOR)),
        pytest.raises(Conflict, match="restore it first"),
    ):
        await changes[change]()
    assert await services.hierarchies.get(tenant.id, unit.id) == unit
    assert await _tree(shared_market, tenant) == {"Sales": {}}


async def test_what_another_makes_at_this_moment_is_looked_at_again(shared_market: Market) -> None:
    """The name was free when it was looked for, the group was empty, the version was the newest: no longer."""
    hierarchies, tenant = shared_market.services.hierarchies, await shared_market.tenant()
    sales = await _made(shared_market, tenant, "Sales")
    with meanwhile(lambda: _made(shared_market, tenant, "Baking")), pytest.raises(Conflict, match="name"):
        await _made(shared_market, tenant, "baking")
    with meanwhile(lambda: _made(shared_market, tenant, "South", sales)), pytest.raises(Conflict, match="1 group"):
        await hierarchies.remove(tenant.id, sales.id, version=1, actor=ACTOR)
    renamed = hierarchies.rename(tenant.id, sales.id, "Markets", version=1, actor="the other")
    with meanwhile(lambda: renamed), pytest.raises(PreconditionFailed):
        await hierarchies.rename(tenant.id, sales.id, "Shops", version=1, actor=ACTOR)
    assert await _tree(shared_market, tenant) == {"Baking": {}, "Markets": {"South": {}}}


async def test_the_largest_hierarchy_is_read_whole_and_grows_no_further(shared_market: Market) -> None:
    """A tree is one answer: 500 units with the longest names stay below what one query of DynamoDB gives."""
    tenant = await shared_market.tenant()
    units = [_unit(tenant, f"{number:03} " + "ö" * 76) for number in range(MAX_UNITS - 1)]
    await _store(shared_market, units)
    last = await _made(shared_market, tenant, "The last")
    assert len(await _tree(shared_market, tenant)) == MAX_UNITS
    with pytest.raises(Conflict, match="at most 500"):
        await _made(shared_market, tenant, "One too many")
    await shared_market.services.hierarchies.remove(tenant.id, last.id, version=1, actor=ACTOR)


def _unit(tenant: Tenant, name: str) -> HierarchyUnit:
    unit_id = new_id()
    return HierarchyUnit(
        id=unit_id, tenant_id=tenant.id, kind="DIVISION", name=name, path=(unit_id,),
        date_created=PLACED_AT, date_last_updated=PLACED_AT, last_updated_by=ACTOR,
    )  # fmt: skip


async def _store(market: Market, units: list[HierarchyUnit]) -> None:
    """As if each had been made; a batch of DynamoDB takes 25."""
    items = [item_of(unit, (f"TENANT#{unit.tenant_id}", f"HIERARCHY#{unit.id}")) for unit in units]
    async with market.aws.client("dynamodb") as dynamodb:
        for start in range(0, len(items), 25):
            puts = [{"PutRequest": {"Item": encode_item(item)}} for item in items[start : start + 25]]
            await dynamodb.batch_write_item(RequestItems={"bbws-tenants": puts})
