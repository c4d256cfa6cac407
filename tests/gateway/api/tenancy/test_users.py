"""Users of tenants over HTTP: who may do what to whom, and what the answers lead to."""

import pytest

from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.ids import new_id
from tests.gateway.support import Answer, Api
from tests.support.waiting import eventually

pytestmark = pytest.mark.needs("cognito")


def _path(tenant: Tenant, user_id: str = "") -> str:
    return f"/v1.0/tenants/{tenant.id}/users" + (f"/{user_id}" if user_id else "")


async def _assign(api: Api, tenant: Tenant, role: str, email: str | None = None) -> Answer:
    return await api.post(_path(tenant), {"email": email or f"{new_id()}@protea.example", "role": role})


async def test_a_user_is_assigned_read_changed_and_removed(api: Api) -> None:
    """The whole life of an assignment, by the links and ETags that the answers carry."""
    tenant = await api.a_tenant()
    owner = await _assign(api, tenant, "OWNER")
    made = await _assign(api, tenant, "MEMBER", "sipho@protea.example")
    assert (owner.status, made.status) == (201, 201)
    here = made.headers["Location"]
    assert made.json["_links"]["self"]["href"] == here
    assert set(made.json["_links"]) == {"self", "tenant", "collection", "update", "remove"}
    again = await _assign(api, tenant, "MEMBER", "Sipho@protea.example")
    assert (again.status, again.json) == (200, made.json)
    assert (await _assign(api, tenant, "VIEWER", "sipho@protea.example")).status == 409
    etag = (await api.get(here)).headers["ETag"]
    assert (await api.get(here, headers={"If-None-Match": etag})).status == 304
    changed = await api.call("PATCH", here, json={"role": "VIEWER"}, headers={"If-Match": etag})
    assert (changed.status, changed.json["role"]) == (200, "VIEWER")
    stale = await api.call("DELETE", here, headers={"If-Match": etag})
    assert stale.status == 412
    assert (await api.call("DELETE", here)).status == 428
    gone = await api.call("DELETE", here, headers={"If-Match": changed.headers["ETag"]})
    assert (gone.status, gone.body) == (204, b"")
    assert (await api.get(here)).status == 404


async def test_the_last_owner_is_neither_removed_nor_lowered(api: Api) -> None:
    """409 with what to do, not 500 and not success."""
    tenant = await api.a_tenant()
    owner = (await _assign(api, tenant, "OWNER")).headers["Location"]
    refused = await api.call("DELETE", owner, headers={"If-Match": '"1"'})
    lowered = await api.call("PATCH", owner, json={"role": "MEMBER"}, headers={"If-Match": "*"})
    assert (refused.status, lowered.status) == (409, 409)
    assert "make somebody else owner first" in refused.json["detail"]


async def test_owners_manage_members_look_viewers_do_not_and_strangers_find_nothing(api: Api) -> None:
    """A tenant's own people, each with what their role allows; another tenant's owner is a stranger."""
    tenant, other = await api.a_tenant(), await api.a_tenant()
    ids = {role: (await _assign(api, tenant, role)).json["userId"] for role in ("OWNER", "MEMBER", "VIEWER")}
    foreign = (await _assign(api, other, "OWNER")).json["userId"]
    owner, member, viewer, stranger = (
        api.by(user_id=user_id) for user_id in (ids["OWNER"], ids["MEMBER"], ids["VIEWER"], foreign)
    )
    assert (await _assign(owner, tenant, "OWNER")).status == 201
    assert (await _assign(member, tenant, "VIEWER")).status == 403
    assert [(await each.get(_path(tenant))).status for each in (owner, member, viewer, stranger)] == [
        200,
        200,
        403,
        404,
    ]
    seen = await member.get(_path(tenant, ids["VIEWER"]))
    assert not {"update", "remove"} & set(seen.json["_links"])
    own_removal = await member.call("DELETE", _path(tenant, ids["MEMBER"]), headers={"If-Match": '"1"'})
    assert own_removal.status == 403


async def test_users_are_listed_over_pages(api: Api) -> None:
    """R-129 as clients follow it: by `next`, until there is none."""
    tenant = await api.a_tenant()
    users = {(await _assign(api, tenant, "VIEWER")).json["userId"] for _ in range(3)}
    first = await api.get(f"{_path(tenant)}?limit=2")
    rest = await api.get(first.json["_links"]["next"]["href"])
    assert set(rest.json["_links"]) == {"self", "tenant", "assign"}
    assert {user["userId"] for answer in (first, rest) for user in answer.json["items"]} == users
    assert (await api.get(f"/v1.0/tenants/{new_id()}/users")).status == 404


async def test_a_user_sees_their_own_tenants_and_nobody_elses(api: Api) -> None:
    """R-128: a portal starts here; whose tenants another one has is nobody's business but staff's."""
    tenants = [await api.a_tenant() for _ in range(3)]
    email = f"{new_id()}@protea.example"
    (user_id,) = {(await _assign(api, tenant, "MEMBER", email)).json["userId"] for tenant in tenants}
    me = api.by(user_id=user_id)

    async def listed(caller: Api) -> set[str]:
        first = await caller.get(f"/v1.0/users/{user_id}/tenants?limit=2")
        more = first.json["_links"].get("next")
        rest = (await caller.get(more["href"])).json["items"] if more else []
        return {each["tenantId"] for each in [*first.json["items"], *rest]}

    async def complete() -> bool:
        return await listed(me) == {tenant.id for tenant in tenants}

    await eventually(complete, what="the index has all three")
    assert len(await listed(api)) == 3
    assert (await api.by(user_id=new_id()).get(f"/v1.0/users/{user_id}/tenants")).status == 404


async def test_staff_who_look_at_their_own_tenants_stay_staff(api: Api) -> None:
    """An operator with a role in a tenant, as in a demonstration, is offered there what every operator is."""
    tenant = await api.a_tenant()
    user_id = (await _assign(api, tenant, "VIEWER")).json["userId"]
    operator = api.by("Operator", user_id=user_id)

    async def steps() -> set[str]:
        items = (await operator.get(f"/v1.0/users/{user_id}/tenants")).json["items"]
        return {name for item in items for name, link in item["_links"].items() if "method" in link}

    async def offered() -> bool:
        return await steps() == {"update", "remove"}

    await eventually(offered, what="the index has the tenant, with an operator's links")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "no address", "role": "OWNER"}, "#/email"),
        ({"email": "a@b.example", "role": "ADMIN"}, "#/role"),
        ({"email": "a@b.example"}, "#/role"),
        ({"email": "a@b.example", "role": "OWNER", "userId": "x"}, "#/userId"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, body: dict[str, str], pointer: str) -> None:
    """Staff roles are no roles of a tenant; ids are the pool's."""
    refused = await api.post(_path(await api.a_tenant()), body)
    assert (refused.status, refused.pointers) == (422, {pointer})
