"""Orders through the public API, on the real services."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from bbws.shared.clock import business_date, utc_now
from bbws.shared.contracts.sales.campaigns import Campaign, CampaignDraft
from bbws.shared.ids import new_id
from tests.gateway.support import ADDRESS, Api, order_body, orders_path
from tests.support.emulator import Aws


async def _campaign(api: Api, product_id: str, **fields: Any) -> Campaign:
    today = business_date(utc_now())
    draft = {
        "code": "SUMMER10",
        "description": "Ten per cent off",
        "discount_percentage": Decimal(10),
        "product_id": product_id,
        "terms_conditions_link": "https://bbws.example/terms",
        "from_date": today,
        "to_date": today,
        **fields,
    }
    return await api.services.campaigns.create(CampaignDraft(**draft), actor="test", campaign_id=new_id())


async def test_placed_order_says_how_to_pay(api: Api) -> None:
    """The answer alone must be enough to pay: amounts fixed, PayFast's form complete and in PayFast's order."""
    tenant, product = await api.a_tenant(), await api.a_product()
    answer = await api.place(tenant, product)
    assert answer.status == 201
    assert answer.json["status"] == "PENDING_PAYMENT"
    assert (answer.json["subtotalCents"], answer.json["taxCents"], answer.json["totalCents"]) == (216_52, 32_48, 249_00)
    names = [field["name"] for field in answer.json["checkout"]["fields"]]
    assert names[0] == "merchant_id"
    assert names[-1] == "signature"
    assert answer.json["_links"]["checkout"]["href"] == answer.json["checkout"]["url"]
    assert answer.headers["Location"] == f"{orders_path(tenant)}/{answer.json['id']}"


async def test_links_of_an_order_lead_somewhere(api: Api) -> None:
    """A client that follows links only must reach everything; a link that answers 404 would be a lie."""
    placed = await api.place(await api.a_tenant(), await api.a_product())
    links = placed.json["_links"]
    assert set(links) == {"self", "tenant", "payments", "events", "documents", "checkout"}
    for name in ("self", "tenant", "payments"):
        assert (await api.get(links[name]["href"])).status == 200
    assert (await api.get(links["documents"]["href"].replace("{kind}", "order"))).status == 200


async def test_every_thing_wrong_with_an_order_has_its_pointer(api: Api) -> None:
    """The storefront marks the fields; it can only do so when all pointers come at once."""
    tenant = await api.a_tenant()
    wrong = order_body("no-uuid") | {"customerEmail": "nobody", "colour": "red"}
    wrong["items"].append({"productId": new_id(), "quantity": -1})
    wrong["items"].append({"productId": new_id(), "quantity": "2"})
    wrong["billingAddress"] = {**ADDRESS, "country": "South Africa", "city": "\n"}
    answer = await api.post(orders_path(tenant), wrong, Idempotency_Key='"k"')
    assert answer.status == 422
    assert answer.pointers == {
        "#/items/0/productId", "#/items/1/quantity", "#/items/2/quantity", "#/customerEmail", "#/colour",
        "#/billingAddress/country", "#/billingAddress/city",
    }  # fmt: skip


async def test_unknown_and_retired_products_are_refused_together(api: Api) -> None:
    """Unknown and no longer sold look the same to a customer, and both lines are named at once."""
    tenant, retired = await api.a_tenant(), await api.a_product()
    await api.services.products.retire(retired.id, version=1, actor="test")
    body = order_body(new_id())
    body["items"].append({"productId": retired.id, "quantity": 1})
    answer = await api.post(orders_path(tenant), body, Idempotency_Key='"k"')
    assert (answer.status, answer.pointers) == (422, {"#/items/0/productId", "#/items/1/productId"})


async def test_campaign_of_other_days_is_refused(api: Api) -> None:
    """An expired discount would sell below price; one of tomorrow as well."""
    tenant, product = await api.a_tenant(), await api.a_product()
    for code, days in (("EXPIRED", -1), ("TOMORROW", 1)):
        day = business_date(utc_now()) + timedelta(days=days)
        await _campaign(api, product.id, code=code, from_date=day, to_date=day)
        answer = await api.place(tenant, product, campaignCode=code)
        assert (answer.status, answer.pointers) == (422, {"#/campaignCode"})


@pytest.mark.own_account
async def test_campaign_of_another_product_is_refused(api: Api) -> None:
    """A campaign discounts one product; silently ignoring its code would surprise the customer at the till."""
    tenant, product, other = await api.a_tenant(), await api.a_product(), await api.a_product()
    await _campaign(api, other.id)
    answer = await api.place(tenant, product, campaignCode="SUMMER10")
    assert (answer.status, answer.pointers) == (422, {"#/campaignCode"})


@pytest.mark.own_account
async def test_campaign_takes_its_share_off(api: Api) -> None:
    """What the customer was promised is on the order, rounded once."""
    tenant, product = await api.a_tenant(), await api.a_product()
    await _campaign(api, product.id)
    answer = await api.place(tenant, product, campaignCode="summer10")
    assert (answer.status, answer.json["totalCents"]) == (201, 224_10)


async def test_order_below_payfasts_minimum_is_refused(api: Api) -> None:
    """PayFast would refuse the payment, after the customer had left our page."""
    answer = await api.place(await api.a_tenant(), await api.a_product(price_cents=4_99))
    assert (answer.status, answer.pointers) == (422, {"#/items"})
    assert "5.00" in answer.json["detail"]


async def test_orders_of_no_tenant_are_not_found(api: Api) -> None:
    """An id that cannot exist and one that does not exist are the same to whoever asks."""
    body = order_body((await api.a_product()).id)
    for tenant_id in ("nobody", new_id(), "%00", "..%2f..", "9" * 36):
        placed = await api.post(f"/v1.0/tenants/{tenant_id}/orders", body, Idempotency_Key='"k"')
        listed = await api.get(f"/v1.0/tenants/{tenant_id}/orders")
        assert (tenant_id, placed.status, listed.status) == (tenant_id, 404, 404)


async def test_order_of_another_tenant_is_not_found(api: Api) -> None:
    """Not even the existence of an order is told to another tenant."""
    order = (await api.place(await api.a_tenant(), await api.a_product())).json
    other = f"{orders_path(await api.a_tenant())}/{order['id']}"
    for path in (other, f"{other}/payments", f"{other}/invoice", f"{other}/events", f"{other}/documents/order"):
        assert (await api.get(path)).status == 404


async def test_unchanged_order_is_not_sent_again(api: Api) -> None:
    """Whoever polls an order pays for its body once (304)."""
    here = (await api.place(await api.a_tenant(), await api.a_product())).headers["Location"]
    etag = (await api.get(here)).headers["ETag"]
    assert etag == '"1"'
    again = await api.get(here, headers={"If-None-Match": f'"x", W/{etag}'})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)


async def test_pages_of_orders_hold_each_order_once(api: Api) -> None:
    """Following `next` must show everything exactly once, in the header and in the body alike."""
    tenant, product = await api.a_tenant(), await api.a_product()
    placed = [(await api.place(tenant, product)).json["id"] for _ in range(5)]
    seen: list[str] = []
    path: str | None = f"{orders_path(tenant)}?limit=2"
    while path:
        page = await api.get(path)
        seen += [item["id"] for item in page.json["items"]]
        path = page.json["_links"].get("next", {}).get("href")
        assert page.headers.get("Link") == (f'<{path}>; rel="next"' if path else None)
    assert seen == sorted(placed, reverse=True)


async def test_odd_page_parameters_are_refused(api: Api) -> None:
    """A misspelt parameter that is ignored makes a client read the first page for ever."""
    for query in (
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=-1",
        "limit=1&limit=2",
        "limit=%D9%A3",
        "page=2",
        "cursor=",
    ):
        answer = await api.get(f"/v1.0/products?{query}")
        assert (query, answer.status, answer.json["title"]) == (query, 400, "Bad request")


async def test_cursors_cannot_be_altered_or_moved(api: Api) -> None:
    """A cursor holds keys of the table: one that was made up could read another tenant's orders."""
    tenant, product = await api.a_tenant(), await api.a_product()
    for _ in range(2):
        await api.place(tenant, product)
    cursor = (await api.get(f"{orders_path(tenant)}?limit=1")).json["_links"]["next"]["href"].split("cursor=")[1]
    altered = ("B" if cursor[30] != "B" else "C").join((cursor[:30], cursor[31:]))
    assert (await api.get(f"{orders_path(tenant)}?cursor={cursor}")).status == 200
    for path in (
        f"{orders_path(tenant)}?cursor={altered}",
        f"{orders_path(tenant)}?cursor={cursor[:-4]}",
        f"{orders_path(tenant)}?cursor=%00",
        f"{orders_path(tenant)}?cursor={'A' * 3000}",
        f"{orders_path(await api.a_tenant())}?cursor={cursor}",
        f"/v1.0/products?cursor={cursor}",
    ):
        assert (await api.get(path)).status == 400


@pytest.mark.needs("faults")
async def test_outage_is_503_and_the_same_key_orders_once(api: Api, aws: Aws) -> None:
    """A customer who presses the button again after an outage has one order, not two."""
    tenant, product = await api.a_tenant(), await api.a_product()
    # The key is claimed by a PutItem, so the outage begins after it; the key must be free again at once.
    await aws.inject("dynamodb", operation="BatchGetItem")
    failed = await api.place(tenant, product, key='"again"')
    assert (failed.status, failed.headers["Retry-After"]) == (503, "5")
    await aws.heal()
    placed = await api.place(tenant, product, key='"again"')
    assert placed.status == 201
    assert len((await api.get(orders_path(tenant))).json["items"]) == 1


@pytest.mark.needs("calls")
async def test_an_order_is_four_calls_to_the_database(api: Api, aws: Aws) -> None:
    """The key, all that is read, the order with its audit entry, the answer: each call is time that somebody waits."""
    tenant, product = await api.a_tenant(), await api.a_product()
    before = await aws.calls("dynamodb")
    assert (await api.place(tenant, product)).status == 201
    assert await aws.calls("dynamodb") - before == 4


async def test_two_requests_with_one_key_make_one_order(api: Api) -> None:
    """A double click: one is carried out; the other waits its turn or gets the same answer, and never orders."""
    tenant, product = await api.a_tenant(), await api.a_product()
    answers = await asyncio.gather(*(api.place(tenant, product, key='"double"') for _ in range(2)))
    assert {answer.status for answer in answers} <= {201, 409}
    assert 201 in {answer.status for answer in answers}
    assert all(answer.headers.get("Retry-After") for answer in answers if answer.status == 409)
    repeated = await api.place(tenant, product, key='"double"')
    assert (repeated.status, repeated.headers["Idempotency-Replayed"]) == (201, "true")
    assert len((await api.get(orders_path(tenant))).json["items"]) == 1
