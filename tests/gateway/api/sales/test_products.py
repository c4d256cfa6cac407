"""Products and campaigns: made, changed under If-Match, read."""

from types import SimpleNamespace
from typing import Any

import pytest

from bbws.shared.ids import new_id
from tests.gateway.support import Api, as_operator
from tests.support.identity import Identity

DRAFT = {"name": "WordPress Business", "priceCents": 249_00}


@pytest.mark.own_account
async def test_product_is_created_changed_and_retired(api: Api) -> None:
    """The life of a product; what is retired leaves the list and stays readable, because old orders name it."""
    created = await api.post("/v1.0/products", DRAFT)
    here, etag = created.headers["Location"], created.headers["ETag"]
    assert (created.status, etag, created.json["_links"]["self"]["href"]) == (201, '"1"', here)
    changed = await api.call("PUT", here, json=DRAFT | {"priceCents": 299_00}, headers={"If-Match": etag})
    assert (changed.status, changed.headers["ETag"], changed.json["priceCents"]) == (200, '"2"', 299_00)
    listed = await api.get("/v1.0/products")
    assert [item["id"] for item in listed.json["items"]] == [created.json["id"]]
    retired = await api.call("DELETE", here, headers={"If-Match": '"2"'})
    assert (retired.status, retired.json["active"]) == (200, False)
    assert (await api.get("/v1.0/products")).json["items"] == []
    assert (await api.get(here)).json["active"] is False


async def test_change_needs_the_newest_version(api: Api) -> None:
    """Two operators who edit at once: the second is told, and overwrites nothing."""
    product = await api.a_product()
    here = f"/v1.0/products/{product.id}"

    async def delete(**headers: str) -> int:
        return (await api.call("DELETE", here, headers=headers)).status

    assert await delete() == 428
    assert (await api.call("PUT", here, json=DRAFT)).status == 428
    for stale in ('"7"', 'W/"1"', '"1x"', '"7", W/"1"', '""'):
        assert (stale, await delete(**{"If-Match": stale})) == (stale, 412)
    for malformed in ("1", "*, *", '"1', "W/1"):
        assert (malformed, await delete(**{"If-Match": malformed})) == (malformed, 400)
    assert (await api.services.products.get(product.id)).version == 1
    assert await delete(**{"If-Match": '"5", "1"'}) == 200
    assert await delete(**{"If-Match": "*"}) == 200
    missing = await api.call("DELETE", f"/v1.0/products/{new_id()}", headers={"If-Match": "*"})
    assert missing.status == 404


async def test_what_is_known_already_is_not_sent_again_and_a_change_is_always_answered(api: Api) -> None:
    """304 spares a reader the body; to a writer it would say that nothing was written."""
    here = f"/v1.0/products/{(await api.a_product()).id}"
    for known in ('"1"', 'W/"1"', '"7", "1"', "*"):
        unchanged = await api.get(here, headers={"If-None-Match": known})
        assert (known, unchanged.status, unchanged.body) == (known, 304, b"")
    assert (await api.get(here, headers={"If-None-Match": '"7"'})).status == 200
    both = {"If-Match": '"1"', "If-None-Match": '"2"'}
    changed = await api.call("PUT", here, json=DRAFT, headers=both)
    assert (changed.status, changed.json["version"]) == (200, 2)


async def test_what_is_public_may_be_kept_and_asked_about_again(api: Api) -> None:
    """Everybody sees the same products; an order is its customer's, and no cache may hold it."""
    order = (await api.place(await api.a_tenant(), product := await api.a_product())).headers["Location"]
    paths = ("/v1.0/products", f"/v1.0/products/{product.id}", "/openapi.json", "/docs", order)
    kept = [(await api.get(path)).headers["Cache-Control"] for path in paths]
    assert kept == ["no-cache"] * 4 + ["no-store"]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"priceCents": 249.5}, "#/priceCents"),
        ({"priceCents": "249"}, "#/priceCents"),
        ({"priceCents": -1}, "#/priceCents"),
        ({"priceCents": 2**70}, "#/priceCents"),
        ({"entitlements": {"sites": "3"}}, "#/entitlements/sites"),
        ({"features": "many"}, "#/features"),
        ({"name": "line\nbreak"}, "#/name"),
        ({"name": None}, "#/name"),
        ({"billingCycle": "weekly"}, "#/billingCycle"),
        ({"id": "mine"}, "#/id"),
    ],
)
async def test_wrong_types_are_never_guessed_at(wrong: dict[str, Any], pointer: str, shared_identity: Identity) -> None:
    """A price of "249" could be rand or cents; nothing is converted silently."""
    services = SimpleNamespace(pings={}, orders=SimpleNamespace(timeline=None))
    async with (
        as_operator(shared_identity, services) as client,
        client.post("/v1.0/products", json=DRAFT | wrong) as response,
    ):
        problem = await response.json(content_type=None)
    assert response.status == 422
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_campaign_is_found_by_its_code(api: Api) -> None:
    """Codes are typed by people, in any case; a code is taken once."""
    product = await api.a_product()
    draft = {
        "code": "Summer10",
        "description": "Ten per cent off",
        "discountPercentage": 12.5,
        "productId": product.id,
        "termsConditionsLink": "https://bbws.example/terms",
        "fromDate": "2026-11-01",
        "toDate": "2026-11-30",
    }
    created = await api.post("/v1.0/campaigns", draft)
    assert (created.status, created.headers["Location"]) == (201, "/v1.0/campaigns/SUMMER10")
    assert (await api.get("/v1.0/campaigns/summer10")).json["discountPercentage"] == "12.5"
    assert (await api.post("/v1.0/campaigns", draft)).status == 409
    assert (await api.get("/v1.0/campaigns/WINTER")).status == 404
    backwards = await api.post("/v1.0/campaigns", draft | {"toDate": "2026-10-01", "code": "OTHER"})
    assert (backwards.status, backwards.pointers) == (422, {"#"})
    unknown = await api.post("/v1.0/campaigns", draft | {"productId": new_id(), "code": "OTHER"})
    assert (unknown.status, unknown.pointers) == (422, {"#/productId"})


@pytest.mark.parametrize("code", ["A" * 3000, "A", "%20", "-ABC", "A.B", "S%C3%84LE", "%F0%9F%8E%81%F0%9F%8E%81"])
async def test_what_is_no_campaign_code_names_no_campaign(api: Api, code: str) -> None:
    """A mistyped or hostile address is a 404 like any other, not a failure of ours that wakes somebody."""
    assert (await api.get(f"/v1.0/campaigns/{code}")).status == 404


async def test_a_page_names_itself_as_it_was_asked_for(api: Api) -> None:
    """A client that keeps `self` comes back to this page, and not to the first one of another length."""
    for _ in range(3):
        await api.a_product()
    here = "/v1.0/products?limit=1"
    first = (await api.get(here)).json["_links"]
    assert first["self"]["href"] == here
    second = (await api.get(first["next"]["href"])).json["_links"]
    assert second["self"]["href"] == first["next"]["href"] != here
