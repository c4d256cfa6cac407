"""Hierarchies over HTTP: made from the top, emptied from the bottom, read at once."""

from typing import Any

from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.ids import new_id
from tests.gateway.support import Answer, Api


async def _make(api: Api, tenant: Tenant, name: str, parent: Any = None) -> Answer:
    body = {"name": name} | ({"parentId": parent.json["id"]} if parent else {})
    return await api.post(f"/v1.0/tenants/{tenant.id}/hierarchy", body)


async def test_a_hierarchy_is_made_read_renamed_and_removed(api: Api) -> None:
    """By links and ETags; the tree's own ETag changes with every part of it."""
    tenant = await api.a_tenant()
    tree = f"/v1.0/tenants/{tenant.id}/hierarchy"
    empty = await api.get(tree)
    assert (empty.status, empty.json["divisions"]) == (200, [])
    division = await _make(api, tenant, "Sales")
    group = await _make(api, tenant, "South", division)
    team = await _make(api, tenant, "Cape Town", group)
    assert [answer.status for answer in (division, group, team)] == [201, 201, 201]
    assert "create" in group.json["_links"]
    assert "create" not in team.json["_links"]
    assert team.json["_links"]["parent"]["href"] == group.headers["Location"]
    whole = await api.get(tree)
    assert whole.headers["ETag"] != empty.headers["ETag"]
    assert (await api.get(tree, headers={"If-None-Match": whole.headers["ETag"]})).status == 304
    (sales,) = whole.json["divisions"]
    assert sales["children"][0]["children"][0]["name"] == "Cape Town"
    here = division.headers["Location"]
    filled = await api.call("DELETE", here, headers={"If-Match": '"1"'})
    assert (filled.status, filled.json["detail"]) == (
        409, "1 group and 1 team are in this division; remove them first"
    )  # fmt: skip
    renamed = await api.call("PATCH", here, json={"name": "Markets"}, headers={"If-Match": '"1"'})
    assert (renamed.status, renamed.headers["ETag"]) == (200, '"2"')
    for answer, etag in ((team, '"1"'), (group, '"1"'), (division, '"2"')):
        removed = await api.call("DELETE", answer.headers["Location"], headers={"If-Match": etag})
        assert removed.status == 204
    assert (await api.get(here)).status == 404


async def test_a_taken_name_and_a_lost_parent_are_told(api: Api) -> None:
    """409 for what others have, 422 for what cannot be; both name the field."""
    tenant = await api.a_tenant()
    await _make(api, tenant, "Sales")
    taken = await _make(api, tenant, "SALES")
    lost = await api.post(f"/v1.0/tenants/{tenant.id}/hierarchy", {"name": "South", "parentId": new_id()})
    assert (taken.status, taken.pointers) == (409, {"#/name"})
    assert (lost.status, lost.pointers) == (422, {"#/parentId"})


async def test_without_if_match_nothing_is_renamed_or_removed(api: Api) -> None:
    """Two people at one chart must notice each other."""
    unit = (await _make(api, await api.a_tenant(), "Sales")).headers["Location"]
    for method, body in (("PATCH", {"name": "Markets"}), ("DELETE", None)):
        assert (await api.call(method, unit, json=body)).status == 428
        assert (await api.call(method, unit, json=body, headers={"If-Match": '"7"'})).status == 412
