"""Idempotency-Key: required, malformed, under way, repeated, reused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from bbws.gateway.app import create_app
from bbws.gateway.idempotency import key_of, scope_of
from bbws.gateway.requests import resource_id
from bbws.gateway.route import Route
from bbws.shared.bootstrap import bootstrap
from bbws.shared.clock import utc_now
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.sales.products import ProductDraft
from bbws.shared.core.idempotency import LEASE
from bbws.shared.dynamo.database import Database
from bbws.shared.errors import BadRequest, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.settings import Settings
from tests.gateway.support import Answer, Api, answer_of, order_body, orders_path
from tests.support.emulator import Aws
from tests.support.waiting import eventually


def _key(*values: str, required: bool = True) -> str | None:
    request = make_mocked_request("POST", "/", headers=[("Idempotency-Key", value) for value in values])
    return key_of(request, required=required)


@pytest.mark.parametrize(
    ("given", "key"),
    [('"abc"', "abc"), ("abc", "abc"), (r'"a\"b\\"', 'a"b\\'), ('"a b"', "a b"), ('"' + "k" * 255 + '"', "k" * 255)],
)
def test_quoted_and_bare_keys_are_understood(given: str, key: str) -> None:
    """The draft asks for a quoted text; most clients send a bare UUID, and both mean the same."""
    assert _key(given) == key


@pytest.mark.parametrize("given", ['""', '"a', 'a"', "a b", '"' + "k" * 256 + '"', '"ü"', r'"a\b"', '"a", "b"'])
def test_malformed_keys_are_refused(given: str) -> None:
    """A key that is understood differently by two parties protects nobody."""
    with pytest.raises(BadRequest, match="Idempotency-Key"):
        _key(given)


def test_two_keys_are_refused() -> None:
    """With two keys nobody can say which request is repeated."""
    with pytest.raises(BadRequest):
        _key('"a"', '"b"')


def test_key_may_be_left_out_where_it_is_optional() -> None:
    """Only orders cost money twice; elsewhere uniqueness already protects."""
    assert _key(required=False) is None


async def test_order_without_a_key_is_refused(api: Api) -> None:
    """The one request that must never happen twice must be recognisable."""
    tenant, product = await api.a_tenant(), await api.a_product()
    answer = await api.post(orders_path(tenant), order_body(product.id))
    assert answer.status == 400
    assert "Idempotency-Key" in answer.json["detail"]


async def test_repeat_gets_the_same_answer_and_other_content_is_refused(api: Api) -> None:
    """A repeat after a lost answer must look like the first answer, to the byte; another order needs another key."""
    tenant, product = await api.a_tenant(), await api.a_product()
    first = await api.place(tenant, product, key='"one"')
    again = await api.place(tenant, product, key="one")
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (201, first.body, "true")
    assert "Idempotency-Replayed" not in first.headers
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    other = await api.place(tenant, product, key='"one"', customerEmail="other@protea.example")
    assert (other.status, other.json["type"]) == (422, "urn:bbws:problem:invalid-request")


async def test_key_of_one_tenant_means_nothing_to_another(api: Api) -> None:
    """Two customers who both count their orders from 1 must not see each other's answers."""
    product = await api.a_product()
    first = await api.place(await api.a_tenant(), product, key='"1"')
    second = await api.place(await api.a_tenant(), product, key='"1"')
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] != second.json["id"]


async def test_tenant_in_capitals_is_the_same_tenant(api: Api) -> None:
    """A repeat that spells the address otherwise is still the repeat; a second order would cost the customer twice."""
    tenant, product = await api.a_tenant(), await api.a_product()
    first = await api.place(tenant, product, key='"1"')
    again = await api.place(tenant.model_copy(update={"id": tenant.id.upper()}), product, key='"1"')
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (201, first.body, "true")


def test_scopes_of_different_things_never_look_alike() -> None:
    """A path may hold any character; joined without care, two operations could share their answers."""
    path = {"tenantId": "a", "orderId": "b"}
    scopes = {
        scope_of("order-create", "anonymous", path),
        scope_of("order-create", "anonymous", {"tenantId": "a/b"}),
        scope_of("order-create", "anonymous", {"tenantId": 'a","orderId":"b'}),
        scope_of("order-create", "thandi", path),
        scope_of("order-cancel", "anonymous", path),
    }
    assert len(scopes) == 5
    assert scope_of("order-create", "anonymous", {"orderId": "B", "tenantId": "A"}) in scopes


async def test_malformed_body_does_not_use_up_the_key(api: Api) -> None:
    """Who mends a typing mistake may send the mended order with the same key."""
    tenant, product = await api.a_tenant(), await api.a_product()
    assert (await api.place(tenant, product, key='"k"', customerEmail="nobody")).status == 422
    assert (await api.place(tenant, product, key='"k"')).status == 201


async def test_refusal_is_repeated_too(api: Api) -> None:
    """What was refused for this key stays refused, even when it has become possible: the caller was told no."""
    tenant, missing = await api.a_tenant(), new_id()
    body = order_body(missing)
    first = await api.post(orders_path(tenant), body, Idempotency_Key='"k"')
    again = await api.post(orders_path(tenant), body, Idempotency_Key='"k"')
    assert (first.status, again.status) == (422, 422)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Content-Type"] == "application/problem+json"


@pytest.mark.needs("faults")
async def test_second_request_is_told_to_wait_while_the_first_is_under_way(api: Api, aws: Aws) -> None:
    """Of two requests at once one works; the other is told when to come again instead of ordering as well."""
    tenant, product = await api.a_tenant(), await api.a_product()
    # The claim of the key is a PutItem as well, so only what follows it is slow: reading tenant and product.
    await aws.inject("dynamodb", operation="BatchGetItem", status=None, latency_ms=1500)
    calls = await aws.calls("dynamodb", "PutItem")
    first = asyncio.create_task(api.place(tenant, product, key='"k"'))

    async def claimed() -> bool:
        return await aws.calls("dynamodb", "PutItem") > calls

    await eventually(claimed, what="the first request claims its key")
    second = await api.place(tenant, product, key='"k"')
    assert (second.status, second.headers["Retry-After"]) == (409, "1")
    assert second.json["type"] == "urn:bbws:problem:conflict"
    await aws.heal()
    assert (await first).status == 201


async def test_optional_key_makes_registrations_repeatable(api: Api) -> None:
    """With a key the repeat is the stored answer; without one it is worked on again, and answers alike."""
    body = {"email": "new@protea.example"}
    first = await api.post("/v1.0/registrations", body, Idempotency_Key='"k"')
    again = await api.post("/v1.0/registrations", body, Idempotency_Key='"k"')
    without = await api.post("/v1.0/registrations", body)
    assert (first.status, again.status, without.status) == (202, 202, 202)
    assert first.body == again.body == without.body
    assert "Idempotency-Replayed" in again.headers
    assert "Idempotency-Replayed" not in without.headers


Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def _trying(api: Api, handle: Handle) -> AsyncIterator[Callable[..., Awaitable[Answer]]]:
    """Sends the same request with the same key to an operation that does what the test says."""
    route = Route(
        method="POST", path="/tries", operation_id="try-make", handler=handle, summary="", tag="", access="public",
        idempotency="required",
    )  # fmt: skip
    async with TestClient(TestServer(create_app(api.services.settings, api.services, routes=(route,)))) as client:

        async def attempt(query: str = "") -> Answer:
            return await answer_of(await client.post(f"/tries{query}", headers={"Idempotency-Key": f'"{key}"'}))

        key = new_id()
        yield attempt


async def test_answers_of_5xx_are_not_kept(api: Api) -> None:
    """The repeat of what failed is a new attempt, at once, with the id that the first one had; what worked is kept."""
    ids, statuses = [], [503, 500, 201]

    async def handle(request: web.Request) -> web.Response:
        ids.append(resource_id(request))
        return web.Response(status=statuses[len(ids) - 1], body=b"")

    async with _trying(api, handle) as attempt:
        answers = [await attempt() for _ in range(4)]
    assert [answer.status for answer in answers] == [503, 500, 201, 201]
    assert ["Idempotency-Replayed" in answer.headers for answer in answers] == [False, False, False, True]
    assert len(ids) == 3
    assert len(set(ids)) == 1


async def test_a_bug_and_a_request_that_is_cut_off_free_their_key(api: Api) -> None:
    """Otherwise the repeat would have to wait a minute for somebody who is no longer at it."""
    errors: list[BaseException] = [RuntimeError("a bug"), asyncio.CancelledError()]

    async def handle(request: web.Request) -> web.Response:
        if errors:
            raise errors.pop(0)
        return web.Response(status=201, body=b"")

    async with _trying(api, handle) as attempt:
        assert (await attempt()).status == 500
        with suppress(ClientError):
            await attempt()
        assert (await attempt()).status == 201


async def test_the_same_key_for_another_query_is_refused(api: Api) -> None:
    """What is asked for stands in the address, too: the first answer would be one to another question."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=201, body=b"")

    async with _trying(api, handle) as attempt:
        assert [(await attempt(query)).status for query in ("?force=true", "", "?force=true")] == [201, 422, 201]


@pytest.mark.needs("faults")
async def test_an_outage_while_a_key_is_freed_hides_no_bug(api: Api, aws: Aws) -> None:
    """The caller is told of the first error, with the reference under which its traceback stands."""

    async def handle(request: web.Request) -> web.Response:
        await aws.inject("dynamodb", operation="UpdateItem")
        raise RuntimeError("a bug")

    async with _trying(api, handle) as attempt:
        failed = await attempt()
        await aws.heal()
    assert (failed.status, "reference" in failed.json["detail"]) == (500, True)


@pytest.mark.needs("faults")
async def test_order_whose_answer_was_not_kept_is_not_made_again(api: Api, aws: Aws, settings: Settings) -> None:
    """The order stands, so the customer is told so; the repeat, once the lease is over, finds it by its id."""
    tenant, product = await api.a_tenant(), await api.a_product()
    await aws.inject("dynamodb", operation="UpdateItem")
    placed = await api.place(tenant, product, key='"k"')
    await aws.heal()
    assert placed.status == 201
    async with (
        bootstrap(settings, clock=lambda: utc_now() + LEASE) as later,
        TestClient(TestServer(create_app(settings, later))) as client,
    ):
        again = await Api(client, later, api.identity, api.bearer).place(tenant, product, key='"k"')
    assert (again.status, again.json["id"]) == (201, placed.json["id"])
    assert len((await api.get(orders_path(tenant))).json["items"]) == 1


@pytest.mark.parametrize("calls", range(5))
async def test_order_of_a_gateway_that_died_between_two_calls_is_made_once(
    api: Api, settings: Settings, calls: int
) -> None:
    """The key, all that is read, the order, the answer: whatever was done last, the repeat ends with one order.

    What stands keeps the price that the customer was told; what does not yet stand has the price of now.
    """
    tenant, product = await api.a_tenant(), await api.a_product(price_cents=100_00)
    with _dead_after(api.services.database, calls):
        await api.place(tenant, product, key='"k"')
    draft = ProductDraft(name=product.name, price_cents=200_00)
    await api.services.products.update(product.id, draft, version=product.version, actor="test")
    async with (
        bootstrap(settings, clock=lambda: utc_now() + LEASE) as later,
        TestClient(TestServer(create_app(settings, later))) as client,
    ):
        again = await Api(client, later, api.identity, api.bearer).place(tenant, product, key='"k"')
    stood = calls >= 3
    assert (again.status, again.json["totalCents"]) == (201, 100_00 if stood else 200_00)
    assert ("Idempotency-Replayed" in again.headers) is (calls == 4)
    assert [order["id"] for order in (await api.get(orders_path(tenant))).json["items"]] == [again.json["id"]]
    trail = await api.services.audit_trails.list(tenant.id, PageRequest(limit=50))
    assert [entry.subject for entry in trail.items if entry.action == "ORDER_PLACED"] == [f"orders/{again.json['id']}"]


@contextmanager
def _dead_after(database: Database, calls: int) -> Iterator[None]:
    """The process reaches DynamoDB so many times and never again: nor does it free what it holds."""
    usual, left = database._call, calls

    async def mortal(operation: str, **request: Any) -> Any:
        nonlocal left
        if left == 0:
            raise Unavailable("dynamodb", "dead")
        left -= 1
        return await usual(operation, **request)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "_call", mortal)
        yield
