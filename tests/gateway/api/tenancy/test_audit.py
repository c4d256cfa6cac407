"""The audit trail over HTTP: a tenant's for its owner, the platform's for staff."""

import asyncio
import json

import aiohttp
import pytest
from structlog.testing import capture_logs

from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.ids import new_id
from tests.gateway.support import Api
from tests.support.emulator import Aws


def _path(tenant: Tenant) -> str:
    return f"/v1.0/tenants/{tenant.id}/audit"


async def _orders(api: Api, many: int) -> Tenant:
    tenant, product = await api.a_tenant(), await api.a_product()
    for _ in range(many):
        assert (await api.place(tenant, product)).status == 201
    return tenant


async def test_an_entry_says_who_changed_what_and_from_where(api: Api) -> None:
    """A change over HTTP carries the caller's id, address and request id."""
    user_id, request_id = new_id(), f"request-{new_id()}"
    caller = api.by("Operator", user_id=user_id)
    product = await api.a_product()
    headers = {"If-Match": '"1"', "X-Request-Id": request_id, "X-Forwarded-For": "198.51.100.7"}
    assert (await caller.call("DELETE", f"/v1.0/products/{product.id}", headers=headers)).status == 200
    entry = (await api.get("/v1.0/audit?limit=1")).json["items"][0]
    assert (entry["action"], entry["subject"]) == ("PRODUCT_RETIRED", f"products/{product.id}")
    assert (entry["actor"], entry["correlationId"]) == (f"user:{user_id}", request_id)
    assert entry["details"]["source"] == "198.51.100.7"
    assert (entry["details"]["before"]["active"], entry["details"]["after"]["active"]) == (True, False)


async def test_a_trail_is_listed_newest_first_and_leads_on(api: Api) -> None:
    """What happened last is what somebody asks about."""
    tenant = await _orders(api, 4)
    seen = []
    path: str | None = f"{_path(tenant)}?limit=2"
    while path:
        answer = await api.get(path)
        assert len(answer.json["items"]) <= 2
        seen += [entry["action"] for entry in answer.json["items"]]
        path = answer.json["_links"].get("next", {}).get("href")
    assert seen == ["ORDER_PLACED"] * 4 + ["TENANT_CREATED"]


async def test_a_seal_shows_once_the_sealer_came_by(api: Api) -> None:
    """Until then it is null, and the entry can be read all the same."""
    tenant = await _orders(api, 1)
    assert [entry["seal"] for entry in (await api.get(_path(tenant))).json["items"]] == [None, None]
    await api.services.audit_trails.seal_due()
    assert [entry["seal"]["sequence"] for entry in (await api.get(_path(tenant))).json["items"]] == [2, 1]


async def test_an_export_is_the_whole_trail_oldest_first(api: Api) -> None:
    """Each line is the entry that the list shows, and the answer is to be saved."""
    tenant = await _orders(api, 3)
    answer = await api.get((await api.get(_path(tenant))).json["_links"]["export"]["href"])
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/jsonl")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="audit-{tenant.id}.jsonl"'
    lines = [json.loads(line) for line in answer.body.splitlines()]
    listed = (await api.get(f"{_path(tenant)}?limit=100")).json["items"]
    assert lines == [{key: value for key, value in entry.items() if key != "_links"} for entry in listed[::-1]]
    assert len(lines) == 4


@pytest.mark.needs("faults")
async def test_an_export_that_breaks_is_not_taken_for_the_whole(api: Api, aws: Aws) -> None:
    """Half a trail that looks like a whole one is worse than none: the transfer never ends well."""
    tenant = await _orders(api, 1)
    broken = {
        "PK": {"S": f"TENANT#{tenant.id}"}, "SK": {"S": "EVENT#3000-01-01T00:00:00.000Z#broken"},
    }  # fmt: skip
    await _fill(api, tenant)
    async with aws.client("dynamodb") as dynamodb:
        await dynamodb.put_item(TableName="bbws-tenants", Item=broken)
    with pytest.raises(aiohttp.ClientPayloadError):
        await api.get(f"{_path(tenant)}/export")


async def _fill(api: Api, tenant: Tenant) -> None:
    """More than the first chunk of an export."""
    product = await api.a_product(name="x" * 100)
    lines = [{"productId": product.id, "quantity": 1}] * 20
    for _ in range(6):
        assert (await api.place(tenant, product, items=lines)).status == 201


@pytest.mark.needs("faults")
async def test_an_outage_before_the_first_entry_is_a_problem(api: Api, aws: Aws) -> None:
    """What can still be said properly is."""
    tenant = await api.a_tenant()
    await aws.inject("dynamodb", operation="Query")
    assert (await api.get(f"{_path(tenant)}/export")).status == 503


async def test_a_reader_who_leaves_harms_nobody(api: Api) -> None:
    """A download that is given up is no error of ours."""
    tenant = await _orders(api, 1)
    await _fill(api, tenant)
    with capture_logs() as logs:
        await asyncio.gather(*(_peek(api, tenant) for _ in range(3)))
    assert "audit export broken off" not in {line["event"] for line in logs}
    assert (await api.get(f"{_path(tenant)}/export")).status == 200


async def _peek(api: Api, tenant: Tenant) -> None:
    async with api.client.get(f"{_path(tenant)}/export", headers=api.bearer) as response:
        await response.content.readany()
        response.close()


async def test_asking_for_the_head_of_an_export_reads_no_trail(api: Api) -> None:
    """HEAD would read everything to say nothing."""
    tenant = await api.a_tenant()
    async with api.client.head(f"{_path(tenant)}/export", headers=api.bearer) as response:
        assert response.status == 405


async def test_an_unknown_tenant_is_not_found(api: Api) -> None:
    """Also for an export, before its first line."""
    for path in (f"/v1.0/tenants/{new_id()}/audit", f"/v1.0/tenants/{new_id()}/audit/export"):
        assert (await api.get(path)).status == 404


async def test_the_platforms_trail_is_for_staff(api: Api) -> None:
    """It tells of dead letters and prices; a tenant's own trail is its owner's, and of nobody else."""
    tenant = await api.a_tenant()
    stranger = api.by(user_id=new_id())
    assert (await api.get("/v1.0/audit")).status == 200
    assert (await stranger.get("/v1.0/audit")).status == 403
    assert (await api.anonymous().get("/v1.0/audit")).status == 401
    for path in (_path(tenant), f"{_path(tenant)}/export"):
        assert (await stranger.get(path)).status == 404
        assert (await api.anonymous().get(path)).status == 401
