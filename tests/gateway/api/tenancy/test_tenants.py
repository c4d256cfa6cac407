"""Tenants over HTTP: made, found, changed, held, deleted, purged; each answer says what this caller may do next."""

import asyncio
from typing import Any

import pytest

from bbws.shared.contracts.operations import Operation
from bbws.shared.contracts.tenancy.tenants import Registration, Tenant
from bbws.shared.contracts.tenancy.users import TenantRole
from bbws.shared.ids import new_id
from bbws.shared.tenancy.repositories.operations import OperationRepository
from tests.gateway.support import Answer, Api
from tests.gateway.tenancy import assign
from tests.support.tenants import events_of

DRAFT = {"organizationName": "Protea Bakery", "contactEmail": "owner@protea.example", "environment": "prod"}
RIVALS = 50
PARTS = {"status", "orders", "users", "hierarchy", "operations", "audit"}


def _path(tenant: Tenant) -> str:
    return f"/v1.0/tenants/{tenant.id}"


def _steps(answer: Answer) -> set[str]:
    """What the links offer beside reading."""
    return {name for name, link in answer.json["_links"].items() if "method" in link}


def _parts(answer: Answer) -> set[str]:
    """What the links lead to."""
    return set(answer.json["_links"]) - _steps(answer) - {"self"}


async def _events(api: Api, tenant: Tenant) -> list[str]:
    database = api.services.database
    return [event.type for event in await events_of(database, tenant.id)]


async def _patch(api: Api, path: str, body: dict[str, Any], if_match: str = "*") -> Answer:
    return await api.call("PATCH", path, json=body, headers={"If-Match": if_match})


async def _delete(api: Api, path: str, if_match: str = "*") -> Answer:
    return await api.call("DELETE", path, headers={"If-Match": if_match})


async def test_tenant_is_created_with_links_and_unique(api: Api) -> None:
    """R-113 and R-089; the fields that another tenant has are named by pointer (C-09)."""
    created = await api.post("/v1.0/tenants", DRAFT)
    assert (created.status, created.json["email"], created.headers["ETag"]) == (201, "owner@protea.example", '"1"')
    here = created.headers["Location"]
    links = created.json["_links"]
    assert (links["self"], links["orders"]) == ({"href": here}, {"href": f"{here}/orders"})
    assert (await api.get(here)).json == created.json
    for changed, pointer in (("contactEmail", "#/organizationName"), ("organizationName", "#/email")):
        again = await api.post("/v1.0/tenants", DRAFT | {changed: "other@protea.example"})
        assert (again.status, again.pointers) == (409, {pointer})
    assert (await api.get("/v1.0/tenants/nobody")).status == 404


@pytest.mark.own_account
async def test_one_of_fifty_creates_at_once_wins(api: Api) -> None:
    """49 times 409 naming both fields, over HTTP."""
    answers = await asyncio.gather(*(api.post("/v1.0/tenants", DRAFT) for _ in range(RIVALS)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * (RIVALS - 1)
    refused = {pointer for answer in answers if answer.status == 409 for pointer in answer.pointers}
    assert refused == {"#/email", "#/organizationName"}


@pytest.mark.own_account
async def test_one_of_fifty_patches_at_once_wins(api: Api) -> None:
    """If-Match with the version that all have read: one 200, 49 times 412, and nothing of the losers."""
    tenant = await api.a_tenant()
    answers = await asyncio.gather(
        *(_patch(api, _path(tenant), {"organizationName": f"Org {n}"}, '"1"') for n in range(RIVALS))
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * (RIVALS - 1)
    (won,) = (answer.json for answer in answers if answer.status == 200)
    assert (await api.get(_path(tenant))).json == won
    lost = next(f"Org {n}" for n in range(RIVALS) if f"Org {n}" != won["organizationName"])
    assert (await api.post("/v1.0/tenants", DRAFT | {"organizationName": lost})).status == 201


async def test_life_of_a_tenant(api: Api) -> None:
    """Every step, the links that led to it, and the events that it published."""
    tenant = await api.a_tenant()
    here = _path(tenant)
    assert _steps(await api.get(here)) == {"update", "park", "suspend", "delete"}
    parked = await api.post(f"{here}/park", {"reason": "Closed in December"})
    assert (parked.status, parked.json["status"], parked.headers["ETag"]) == (200, "PARKED", '"2"')
    assert (parked.json["parked"]["reason"], _steps(parked)) == (
        "Closed in December",
        {"update", "unpark", "suspend", "delete"},
    )
    suspended = await api.post(f"{here}/suspend", {"reason": "unpaid"})
    assert (suspended.json["status"], _steps(suspended)) == ("SUSPENDED", {"update", "unpark", "resume", "delete"})
    unparked = await api.call("POST", f"{here}/unpark")
    assert (unparked.json["status"], _steps(unparked)) == ("SUSPENDED", {"update", "resume", "delete"})
    assert (await api.post(f"{here}/resume", {"reason": "paid"})).json["status"] == "ACTIVE"
    deleted = await _delete(api, here, '"5"')
    assert (deleted.status, deleted.json["status"], deleted.json["active"], _steps(deleted)) == (
        200,
        "DELETED",
        False,
        {"restore"},
    )
    restored = await api.call("POST", f"{here}/restore")
    assert (restored.json["status"], restored.json["purgeAt"]) == ("ACTIVE", None)
    assert await _events(api, tenant) == [
        "TENANT_CREATED", "TENANT_PARKED", "TENANT_SUSPENDED", "TENANT_UNPARKED", "TENANT_RESUMED", "TENANT_DELETED",
        "TENANT_RESTORED",
    ]  # fmt: skip


async def test_every_link_that_is_offered_works(api: Api) -> None:
    """A link that answers 403, 404 or 409 is worse than none; followed by who it was given to."""
    admin = api.by("Admin")
    bodies: dict[str, dict[str, Any]] = {"update": {"environment": "sit"}}
    for name in ("update", "park", "unpark", "suspend", "resume", "delete", "restore", "purge"):
        tenant = await api.a_tenant()
        if name == "unpark":
            await admin.post(f"{_path(tenant)}/park", {"reason": "pause"})
        if name == "resume":
            await admin.post(f"{_path(tenant)}/suspend", {"reason": "unpaid"})
        if name == "restore":
            await _delete(admin, _path(tenant))
        link = (await admin.get(_path(tenant))).json["_links"][name]
        method = link["method"]
        headers = {"If-Match": "*"} if method in {"PATCH", "DELETE"} else {}
        body = {"json": bodies.get(name, {"reason": "why not"})} if method != "DELETE" else {}
        assert (await admin.call(method, link["href"], headers=headers, **body)).status in {200, 202}, name
    for part in ("self", *PARTS):
        link = (await admin.get(_path(tenant))).json["_links"][part]
        assert (await admin.get(link["href"])).status == 200, part


async def test_links_are_those_of_the_caller(api: Api) -> None:
    """A viewer is offered no button that answers 403, an owner none of the operators'."""
    tenant, roles = await api.a_tenant(), {"OWNER": new_id(), "VIEWER": new_id()}
    await assign(api, tenant.id, "OWNER", roles["OWNER"])
    await assign(api, tenant.id, "VIEWER", roles["VIEWER"])
    here = _path(tenant)
    assert _steps(await api.by("Admin").get(here)) == {"update", "park", "suspend", "delete", "purge"}
    assert _steps(await api.by(user_id=roles["OWNER"]).get(here)) == {"update", "park"}
    viewer = await api.by(user_id=roles["VIEWER"]).get(here)
    assert (_steps(viewer), _parts(viewer)) == (set(), {"status", "orders", "hierarchy"})
    assert _parts(await api.by(user_id=roles["OWNER"]).get(here)) == PARTS


async def test_repeat_of_an_action_publishes_nothing(api: Api) -> None:
    """Parking a parked tenant answers the same state; without a reason it is not parked at all."""
    tenant = await api.a_tenant()
    here = _path(tenant)
    for missing in ({}, {"reason": None}, {"reason": ""}, {"reason": "two\nlines"}):
        refused = await api.post(f"{here}/park", missing)
        assert (refused.status, refused.pointers) == (422, {"#/reason"})
    first = await api.post(f"{here}/park", {"reason": "pause"})
    again = await api.post(f"{here}/park", {"reason": "another"})
    assert (again.status, again.json) == (200, first.json)
    for name in ("resume", "restore"):
        assert (await api.call("POST", f"{here}/{name}")).json == first.json
    assert await _events(api, tenant) == ["TENANT_CREATED", "TENANT_PARKED"]


async def test_step_that_cannot_be_is_a_conflict(api: Api) -> None:
    """Parking a suspended tenant, and everything on a deleted one, says what to do first."""
    tenant = await api.a_tenant()
    here = _path(tenant)
    await api.post(f"{here}/suspend", {"reason": "unpaid"})
    parking = await api.post(f"{here}/park", {"reason": "pause"})
    assert (parking.status, parking.json["detail"]) == (409, f"tenant {tenant.id} is suspended; resume it first")
    await _delete(api, here)
    for name in ("park", "unpark", "suspend", "resume"):
        assert (await api.post(f"{here}/{name}", {"reason": "any"})).status == 409
    assert (await _patch(api, here, {"environment": "dev"})).status == 409
    assert (await api.place(tenant, await api.a_product())).status == 409
    for name in ("park", "unpark", "suspend", "resume", "restore"):
        assert (await api.post(f"/v1.0/tenants/{new_id()}/{name}", {"reason": "any"})).status == 404


@pytest.mark.parametrize("body", ["", "{}", '{"reason": "back"}'])
async def test_reason_for_the_better_may_be_left_out(api: Api, body: str) -> None:
    """`curl -X POST …/unpark` is enough; what is sent all the same is checked."""
    tenant = await api.a_tenant()
    await api.post(f"{_path(tenant)}/park", {"reason": "pause"})
    headers = {"Content-Type": "application/json"} if body else {}
    unparked = await api.call("POST", f"{_path(tenant)}/unpark", data=body, headers=headers)
    assert (unparked.status, unparked.json["status"]) == (200, "ACTIVE")
    wrong = await api.call("POST", f"{_path(tenant)}/unpark", data="reason=back")
    assert wrong.status == 415
    assert (await api.post(f"{_path(tenant)}/unpark", {"reasn": "back"})).status == 422


async def test_changes_are_a_merge_patch_under_if_match(api: Api) -> None:
    """What is left out stays; stale, missing and malformed preconditions change nothing."""
    tenant = await api.a_tenant()
    here = _path(tenant)
    body = {"contactEmail": f"{new_id()}@Protea.example", "destinationEmail": "it@protea.example"}
    changed = await api.call(
        "PATCH",
        here,
        json=body,
        headers={"If-Match": '"1"', "Content-Type": "application/merge-patch+json"},
    )
    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    assert (changed.json["email"], changed.json["environment"]) == (body["contactEmail"].lower(), "prod")
    assert (await _patch(api, here, {"environment": "dev"}, '"1"')).status == 412
    assert (await api.call("PATCH", here, json={"environment": "dev"})).status == 428
    assert (await api.call("DELETE", here)).status == 428
    assert (await _delete(api, here, '"1"')).status == 412
    assert (await _patch(api, here, {"destinationEmail": None}, '"2"')).json["destinationEmail"] is None
    assert await _events(api, tenant) == ["TENANT_CREATED", "TENANT_UPDATED", "TENANT_UPDATED"]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"email": None}, "#/email"),
        ({"organizationName": None}, "#/organizationName"),
        ({"environment": None}, "#/environment"),
        ({"environment": "production"}, "#/environment"),
        ({"status": "ACTIVE"}, "#/status"),
        ({"registrationStatus": "REGISTERED"}, "#/registrationStatus"),
        ({"parked": None}, "#/parked"),
        ({"email": "jörg@example.com"}, "#/email"),
        ({"email": "a@b.example", "contactEmail": "c@d.example"}, "#/contactEmail"),
    ],
)
async def test_patch_takes_only_what_may_be_changed(api: Api, wrong: dict[str, Any], pointer: str) -> None:
    """Status and holds have steps of their own; what every tenant has cannot be removed."""
    tenant = await api.a_tenant()
    refused = await _patch(api, _path(tenant), wrong)
    assert (refused.status, refused.pointers) == (422, {pointer})
    assert "Value error" not in refused.json["errors"][0]["detail"], "that is pydantic's word, not ours"
    assert (await api.get(_path(tenant))).headers["ETag"] == '"1"'


@pytest.mark.own_account
async def test_tenants_are_listed_by_one_filter_page_by_page(api: Api) -> None:
    """The cursor and the filter travel in `next`; without a filter the active ones are listed."""
    made = [await api.post("/v1.0/tenants", _named(number)) for number in range(5)]
    ids = [answer.json["id"] for answer in reversed(made)]
    for query in ("", "status=ACTIVE", "environment=sit"):
        assert await _listed(api, f"/v1.0/tenants?limit=2&{query}") == [ids[:2], ids[2:4], ids[4:]]
    for query in ("organizationName=ORG%20%203", "email=ORG3@protea.example"):
        pages = await _listed(api, f"/v1.0/tenants?limit=1&{query}")
        assert [each for page in pages for each in page] == [made[3].json["id"]]
    for query in (
        "status=DELETED",
        "environment=dev",
        "organizationName=%00%F0%9F%8E%81",
        "email=",
        "email=%20",
        "email=%FF",
    ):
        assert await _listed(api, f"/v1.0/tenants?{query}") == [[]]
    first = await api.get("/v1.0/tenants?limit=2&environment=sit")
    cursor = first.json["_links"]["next"]["href"].partition("cursor=")[2].partition("&")[0]
    assert (await api.get(f"/v1.0/tenants?status=ACTIVE&cursor={cursor}")).status == 400
    assert first.json["items"][0]["_links"]["park"]["href"].endswith("/park")


def _named(number: int) -> dict[str, Any]:
    return {"organizationName": f"Org {number}", "email": f"org{number}@protea.example", "environment": "sit"}


async def _listed(api: Api, path: str) -> list[list[str]]:
    pages = []
    while True:
        answer = await api.get(path)
        assert answer.status == 200, answer.json
        pages.append([item["id"] for item in answer.json["items"]])
        if "next" not in answer.json["_links"]:
            return pages
        path = answer.json["_links"]["next"]["href"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("status=ACTIVE&email=a@b.example", "the query has status and email"),
        ("status=active", "status is one of ACTIVE, PARKED, SUSPENDED, DELETED"),
        ("environment=production", "environment is one of dev, sit, prod"),
        ("name=x", "it knows limit, cursor, status, environment, organizationName, email"),
        ("status=ACTIVE&status=PARKED", "given more than once"),
        (f"email={'a' * 255}", "at most 254 characters"),
        (f"organizationName={'%F0%9F%8E%81' * 121}", "at most 120 characters"),
        ("limit=0", "limit is a whole number"),
    ],
)
async def test_list_refuses_what_it_does_not_know(api: Api, query: str, told: str) -> None:
    """A filter that is silently left out shows an operator the wrong tenants."""
    refused = await api.get(f"/v1.0/tenants?{query}")
    assert refused.status == 400
    assert told in refused.json["detail"]


async def test_status_tells_every_hold(api: Api) -> None:
    """What a suspended customer's page shows, without the rest of the tenant."""
    tenant = await api.a_tenant()
    await api.post(f"{_path(tenant)}/park", {"reason": "pause"})
    await api.post(f"{_path(tenant)}/suspend", {"reason": "unpaid"})
    state = await api.get(f"{_path(tenant)}/status")
    assert (state.json["status"], state.json["registrationStatus"]) == ("SUSPENDED", "UNVALIDATED")
    assert (state.json["parked"]["reason"], state.json["suspended"]["reason"]) == ("pause", "unpaid")
    assert "email" not in state.json
    assert "resume" in state.json["_links"]
    assert state.json["_links"]["tenant"]["href"] == _path(tenant)
    unchanged = await api.call("GET", f"{_path(tenant)}/status", headers={"If-None-Match": state.headers["ETag"]})
    assert unchanged.status == 304


async def test_purge_is_an_operation_that_can_be_followed(api: Api) -> None:
    """202 with a Location that works at once, to the end, and on the tenant's list."""
    admin, tenant = api.by("Admin"), await api.a_tenant()
    ordered = await _delete(admin, f"{_path(tenant)}?force=true", '"1"')
    here = f"/v1.0/operations/{ordered.json['operationId']}"
    assert (ordered.status, ordered.headers["Location"], ordered.headers["Retry-After"]) == (202, here, "2")
    assert (await admin.get(here)).json == ordered.json
    deleted = await admin.get(_path(tenant))
    assert (deleted.json["status"], _steps(deleted)) == ("DELETED", set())
    assert deleted.json["_links"]["operation"]["href"] == here
    assert (await admin.call("POST", f"{_path(tenant)}/restore")).status == 409
    assert (await _delete(admin, f"{_path(tenant)}?force=true")).json["operationId"] == ordered.json["operationId"]
    await api.services.tenant_records.purge_due()
    done = await admin.get(here)
    assert (done.json["status"], done.json["documentKey"].partition("/")[0]) == ("SUCCEEDED", "exports")
    listed = f"{_path(tenant)}/operations"
    assert (await admin.get(f"{listed}?status=SUCCEEDED")).json["items"] == [done.json]
    assert (await admin.get(f"{listed}?status=PENDING")).json["items"] == []
    assert [item["id"] for item in (await admin.get(listed)).json["items"]] == [done.json["id"]]
    assert (await admin.get(f"{listed}?status=DONE")).status == 400
    assert (await admin.get(f"/v1.0/operations/{new_id()}")).status == 404


async def test_operation_is_shown_to_the_owners_of_its_tenant(api: Api) -> None:
    """Its address names no tenant, so the door has to look; to anybody else it is not there."""
    tenant, now = await api.a_tenant(), api.services.clock()
    record = {"date_created": now, "date_last_updated": now, "last_updated_by": "test"}
    operation = Operation(id=new_id(), tenant_id=tenant.id, kind="TENANT_PURGE", **record)
    database = api.services.database
    await database.transact(OperationRepository(database).new(operation, now))
    expected: dict[TenantRole | None, int] = {"OWNER": 200, "MEMBER": 403, None: 404}
    for role, status in expected.items():
        user_id = await assign(api, tenant.id, role)
        answer = await api.by(user_id=user_id).get(f"/v1.0/operations/{operation.id}")
        assert answer.status == status, role
    # Not even the tenant's id, which the refusal of a tenant's own address would repeat.
    assert answer.json["detail"] == f"there is no operation {operation.id}"
    assert (await api.get(f"/v1.0/operations/{operation.id}")).status == 200


async def test_purge_needs_its_own_right(api: Api) -> None:
    """An operator may delete, which can be undone; what cannot be undone is for administrators."""
    tenant = await api.a_tenant()
    refused = await _delete(api, f"{_path(tenant)}?force=true")
    assert (refused.status, "tenants:purge" in refused.json["detail"]) == (403, True)
    for wrong in ("force=1", "force=true&force=true", "forced=true"):
        assert (await _delete(api.by("Admin"), f"{_path(tenant)}?{wrong}")).status == 400
    assert (await api.get(_path(tenant))).json["status"] == "ACTIVE"
    assert (await _delete(api, f"{_path(tenant)}?force=false")).status == 200


async def test_owner_cannot_take_the_orders_of_somebody_elses_address(api: Api) -> None:
    """The shop books the orders of an address for the tenant that has it: an owner must not give it a stranger's."""
    tenant, stranger = await api.a_tenant(), f"{new_id()}@karoo.example"
    owner = api.by(user_id=await assign(api, tenant.id, "OWNER"))
    for field in ("email", "contactEmail"):
        refused = await _patch(owner, _path(tenant), {field: stranger}, '"1"')
        assert (refused.status, "tenants:change-email" in refused.json["detail"]) == (403, True)
    order_of_stranger = await api.services.registrations.for_customer(Registration(email=stranger))
    assert order_of_stranger.id != tenant.id
    assert (await _patch(owner, _path(tenant), {"destinationEmail": "it@protea.example"}, '"1"')).status == 200
