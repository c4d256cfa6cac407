"""Who calls: tokens at the door, roles in tenants, and what a refusal gives away."""

import re
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bbws.gateway import auth
from bbws.gateway.app import create_app
from bbws.gateway.auth import Authorizer
from bbws.gateway.keys import AUTHORIZER
from bbws.gateway.routes import ROUTES
from bbws.shared.bootstrap import bootstrap
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.tenancy.users import TenantRole
from bbws.shared.errors import Unauthenticated
from bbws.shared.ids import new_id
from bbws.shared.integrations.tokens import TokenVerifier
from bbws.shared.settings import Settings
from tests.gateway.support import Answer, Api, answer_of, orders_path
from tests.gateway.tenancy import assign
from tests.support.emulator import Aws
from tests.support.identity import Identity, real_pool

# RFC 6750 section 3.
CHALLENGE = re.compile(
    r'Bearer realm="bbws"(, error="invalid_token", error_description="[\x20-\x21\x23-\x5b\x5d-\x7e]+")?'
)


async def _with(api: Api, path: str, *authorization: str) -> Answer:
    headers = [("Authorization", value) for value in authorization]
    return await answer_of(await api.client.get(path, headers=headers))


async def test_caller_without_a_token_is_told_to_bring_one(api: Api) -> None:
    """RFC 6750: a client that has not tried yet learns the scheme, and no error."""
    answer = await api.anonymous().get(orders_path(await api.a_tenant()))
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="bbws"')
    assert "Authorization: Bearer" in answer.json["detail"]


async def test_refused_token_says_why(api: Api) -> None:
    """An expired token is renewed, a wrong one reported: the client must be able to tell which it is."""
    here, pool = orders_path(await api.a_tenant()), api.identity
    reasons = {
        f"Bearer {pool.token('Admin', exp=1)}": "The token has expired.",
        f"Bearer {pool.token('Admin', client_id='other')}": "The token was made for another app.",
        f"Bearer {pool.token('Admin', use='refresh')}": "The token is neither an ID token nor an access token.",
        "Bearer": "This is no signed token (JWT).",
        "Basic dGhhbmRpOnNlY3JldA==": "Send one Authorization header, with the scheme Bearer.",
        'Bearer x", error="none", realm="evil': "This is no signed token (JWT).",
    }
    for given, reason in reasons.items():
        answer = await _with(api, here, given)
        assert (given, answer.status, answer.json["detail"]) == (given, 401, reason)
        assert f'error="invalid_token", error_description="{reason}"' in answer.headers["WWW-Authenticate"]
        assert CHALLENGE.fullmatch(answer.headers["WWW-Authenticate"])


async def test_two_tokens_at_once_are_refused(api: Api) -> None:
    """A proxy that reads the first and a server that reads the second would disagree about who calls."""
    here = orders_path(await api.a_tenant())
    operator, nobody = (f"Bearer {api.identity.token(*groups)}" for groups in (("Operator",), ()))
    for pair in ((operator, nobody), (nobody, operator)):
        assert (await _with(api, here, *pair)).status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("use", ["id", "access"])
async def test_both_kinds_of_token_are_taken(api: Api, scheme: str, use: str) -> None:
    """Browser applications hold ID tokens, programs access tokens; schemes know no case (RFC 9110)."""
    here = orders_path(await api.a_tenant())
    assert (await _with(api, here, f"{scheme} {api.identity.token('Operator', use=use)}")).status == 200


async def test_reason_cannot_break_out_of_its_header(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reason that one day quotes the token must not let its sender write headers of ours."""

    async def refuse(self: TokenVerifier, token: str) -> Any:
        raise Unauthenticated('no "good"\r\nSet-Cookie: a=b\\ ä')

    monkeypatch.setattr(TokenVerifier, "verify", refuse)
    answer = await api.get(orders_path(await api.a_tenant()))
    assert answer.status == 401
    assert CHALLENGE.fullmatch(answer.headers["WWW-Authenticate"])
    assert "Set-Cookie" not in answer.headers


async def test_missing_right_is_named(api: Api) -> None:
    """Whoever is refused can ask their owner for just that."""
    tenant = await api.a_tenant()
    viewer = api.by(user_id=await assign(api, tenant.id, "VIEWER"))
    refused = await viewer.post(orders_path(tenant), {}, Idempotency_Key='"k"')
    assert refused.status == 403
    assert refused.json["detail"] == "This needs the right orders:create, which the role Viewer does not give."
    nobody = await api.by().post("/v1.0/products", {})
    assert "the right catalogue:manage, which a user without a role" in nobody.json["detail"]


async def test_foreign_tenant_looks_like_one_that_does_not_exist(api: Api) -> None:
    """Whether a company is our customer is nobody else's business. Not even headers tell the two apart."""
    foreign, unknown = await api.a_tenant(), new_id()
    order = (await api.place(foreign, await api.a_product())).json
    member = api.by(user_id=await assign(api, (await api.a_tenant()).id, "OWNER"))
    for path in ("", "/orders", f"/orders/{order['id']}", f"/orders/{order['id']}/events", "/orders/x/documents/order"):
        seen = [await member.get(f"/v1.0/tenants/{tenant}{path}") for tenant in (foreign.id, unknown)]
        bodies = [_without(answer, tenant) for answer, tenant in zip(seen, (foreign.id, unknown), strict=True)]
        assert [answer.status for answer in seen] == [404, 404], path
        assert bodies[0] == bodies[1]
    operator = await api.get(f"/v1.0/tenants/{unknown}")
    assert operator.json["detail"] == (await member.get(f"/v1.0/tenants/{unknown}")).json["detail"]


def _without(answer: Answer, tenant_id: str) -> tuple[str, list[str]]:
    body = re.sub(r'"traceId":"\w+"', "", answer.body.decode()).replace(tenant_id, "TENANT")
    return body, sorted(f"{name}: {value}" for name, value in answer.headers.items() if name.lower() not in _OF_ITS_OWN)


_OF_ITS_OWN = {"x-request-id", "date"}


@pytest.mark.parametrize("tenant_id", ["x", "A" * 3000, "%00", "..%2f", "%F0%9F%8E%81", "TENANT%23x"])
async def test_what_is_no_tenant_id_names_no_tenant(api: Api, tenant_id: str) -> None:
    """A hostile address is a 404 for a stranger as for staff, not a failure that wakes somebody."""
    for caller in (api.by(), api):
        assert (await caller.get(f"/v1.0/tenants/{tenant_id}/orders")).status == 404


async def test_tenant_is_the_same_in_upper_case(api: Api) -> None:
    """An id that passes the check in one spelling must be the one that is read."""
    tenant, other = await api.a_tenant(), await api.a_tenant()
    member = api.by(user_id=await assign(api, tenant.id, "VIEWER"))
    assert (await member.get(f"/v1.0/tenants/{tenant.id.upper()}")).json["id"] == tenant.id
    assert (await member.get(f"/v1.0/tenants/{other.id.upper()}")).status == 404


async def test_header_from_outside_names_no_tenant(api: Api) -> None:
    """C-31: only the address says whose resource it is."""
    mine, other = await api.a_tenant(), await api.a_tenant()
    member = api.by(user_id=await assign(api, mine.id, "OWNER"))
    for header in ("X-Tenant-Id", "x-tenant-id"):
        assert (await member.get(f"/v1.0/tenants/{other.id}", headers={header: mine.id})).status == 404


async def test_groups_with_other_names_give_no_role(api: Api) -> None:
    """Groups of the pool that somebody makes for other ends must not open this API."""
    here = orders_path(await api.a_tenant())
    for group in ("operator", "ADMIN", "Owner", "Member", "Self", "Operators", ""):
        assert (await api.by(group).get(here)).status == 404, group


async def test_role_that_is_given_counts_at_once_and_one_that_is_taken_soon(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was invited must not wait; who was removed loses access within half a minute."""
    tenant, user_id, now_s = await api.a_tenant(), new_id(), 100.0
    monkeypatch.setattr(api.client.app[AUTHORIZER], "_now", lambda: now_s)
    caller, here = api.by(user_id=user_id), orders_path(tenant)
    assert (await caller.get(here)).status == 404
    await assign(api, tenant.id, "VIEWER", user_id)
    assert (await caller.get(here)).status == 200
    await assign(api, tenant.id, None, user_id)
    assert (await caller.get(here)).status == 200
    now_s += auth.ROLE_FRESH_S
    assert (await caller.get(here)).status == 404


async def test_role_that_is_taken_changes_nothing_any_more(api: Api) -> None:
    """An owner who is removed must not use the half minute to come back by another door."""
    tenant = await api.a_tenant()
    removed = api.by(user_id=(user_id := await assign(api, tenant.id, "OWNER")))
    assert (await removed.get(orders_path(tenant))).status == 200
    await assign(api, tenant.id, None, user_id)
    back_door = {"email": f"{new_id()}@protea.example", "role": "OWNER"}
    assert (await removed.post(f"/v1.0/tenants/{tenant.id}/users", back_door)).status == 404
    assert (await removed.get(orders_path(tenant))).status == 404


async def test_role_that_is_lowered_changes_nothing_any_more(api: Api) -> None:
    """A role that a read remembered gives no right to change; one that is read anew counts for reads too."""
    tenant = await api.a_tenant()
    lowered = api.by(user_id=(user_id := await assign(api, tenant.id, "OWNER")))
    assert (await lowered.get(f"/v1.0/tenants/{tenant.id}/audit")).status == 200
    await assign(api, tenant.id, "VIEWER", user_id)
    assert (await lowered.post(f"/v1.0/tenants/{tenant.id}/park", {"reason": "spite"})).status == 403
    assert (await lowered.get(f"/v1.0/tenants/{tenant.id}/audit")).status == 403


async def test_every_method_that_changes_asks_for_the_role_of_this_moment(api: Api) -> None:
    """Whoever was just removed may read for half a minute what they have read before, and change nothing at all."""
    tenant = await api.a_tenant()
    changing = {route.method: route for route in ROUTES if route.scope == "tenant" and route.method != "GET"}
    assert {"POST", "PATCH", "DELETE"} <= changing.keys()
    for method, route in changing.items():
        removed = api.by(user_id=(user_id := await assign(api, tenant.id, "OWNER")))
        assert (await removed.get(orders_path(tenant))).status == 200
        await assign(api, tenant.id, None, user_id)
        path = route.address(**dict.fromkeys(route.path_names, tenant.id))
        assert (await removed.call(method, path)).status == 404, method


async def test_memory_of_roles_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody who ever called must not stay in memory; those who called last do."""
    monkeypatch.setattr(auth, "MAX_ROLES", 3)

    async def role_in(tenant_id: str, user_id: str) -> TenantRole:
        return "VIEWER"

    authorizer = Authorizer(None, role_in, None, lambda *_: False)  # type: ignore[arg-type]
    callers = [(new_id(), new_id()) for _ in range(5)]
    for tenant_id, user_id in callers:
        await authorizer._own_role(tenant_id, user_id)
    assert list(authorizer._known) == callers[2:]


async def test_actor_of_a_change_is_the_caller(api: Api) -> None:
    """The audit trail is worth nothing when it says `anonymous`, or what a header claims."""
    tenant, user_id = await api.a_tenant(), new_id()
    await assign(api, tenant.id, "MEMBER", user_id)
    product = await api.a_product()
    order = (await api.by(user_id=user_id).place(tenant, product)).json
    assert order["lastUpdatedBy"] == f"user:{user_id}"


async def test_same_key_of_two_users_makes_two_orders(api: Api) -> None:
    """A key belongs to its caller: nobody is answered with a colleague's order, however they choose their keys."""
    tenant, product = await api.a_tenant(), await api.a_product()
    one, two = [api.by(user_id=await assign(api, tenant.id, "MEMBER")) for _ in range(2)]
    first, second, again = [await user.place(tenant, product, key='"k"') for user in (one, two, one)]
    assert first.json["id"] != second.json["id"]
    assert (again.json["id"], again.headers["Idempotency-Replayed"]) == (first.json["id"], "true")
    assert len((await api.services.orders.list(tenant.id, PageRequest())).items) == 2


async def test_kept_answer_is_not_for_those_who_lost_the_right(api: Api) -> None:
    """The right is asked for before the key: a removed user cannot read on with keys of the past."""
    tenant, user_id = await api.a_tenant(), new_id()
    await assign(api, tenant.id, "MEMBER", user_id)
    product, caller = await api.a_product(), api.by(user_id=user_id)
    assert (await caller.place(tenant, product, key='"k"')).status == 201
    await assign(api, tenant.id, "VIEWER", user_id)
    api.client.app[AUTHORIZER]._known.clear()
    assert (await caller.place(tenant, product, key='"k"')).status == 403


async def test_right_is_asked_for_before_the_body_is_read(api: Api) -> None:
    """Strangers must not make us read and parse, nor learn from errors how a body should look."""
    here, odd = orders_path(await api.a_tenant()), {"Content-Type": "text/x"}
    for caller, status in ((api.anonymous(), 401), (api.by(), 404)):
        refused = await caller.call("POST", here, data=b"x" * 300_000, headers=odd)
        assert refused.status == status


async def test_pool_that_is_out_closes_protected_operations_alone(
    settings: Settings, provisioned: Settings, identity: Identity
) -> None:
    """Nobody can be recognised, which is 503; what is public, PayFast's notices above all, goes on."""
    identity.is_down = True
    cut_off = settings.model_copy(update=identity.settings())
    async with bootstrap(cut_off) as services, TestClient(TestServer(create_app(cut_off, services))) as client:
        api = Api(client, services, identity, identity.bearer("Operator"))
        refused = await api.get(f"/v1.0/tenants/{new_id()}")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert "127.0.0.1" not in refused.body.decode()
        for path in ("/v1.0/products", "/", "/healthz", "/docs"):
            assert (await api.get(path)).status == 200
        ready = await api.get("/readyz")
        assert (ready.status, ready.json["dependencies"]["identity"]) == (503, "out of reach")
        assert (await api.anonymous().get(f"/v1.0/tenants/{new_id()}")).status == 401


async def test_known_keys_keep_the_gateway_ready(api: Api, identity: Identity, settings: Settings) -> None:
    """A pool that goes out later takes no gateway out of the load balancer: it can still tell who calls."""
    known = settings.model_copy(update=identity.settings())
    async with bootstrap(known) as services, TestClient(TestServer(create_app(known, services))) as client:
        caller = Api(client, services, identity, identity.bearer("Operator"))
        assert (await caller.get(f"/v1.0/tenants/{new_id()}")).status == 404
        identity.is_down = True
        assert (await caller.get("/readyz")).json["dependencies"]["identity"] == "ok"
        assert (await caller.get(f"/v1.0/tenants/{new_id()}")).status == 404


@pytest.mark.needs("cognito")
async def test_gateway_without_a_pool_is_ready_and_lets_nobody_in(provisioned: Settings, aws: Aws) -> None:
    """A shop alone needs no pool, so its readiness names none; what needs a right is 503, never open."""
    async with aws.client("cognito-idp") as cognito:
        for pool in (await cognito.list_user_pools(MaxResults=10))["UserPools"]:
            await cognito.delete_user_pool(UserPoolId=pool["Id"])
    update = {"cognito_user_pool_id": None, "cognito_client_ids": (), "cognito_jwks_url": None}
    alone = provisioned.model_copy(update=update)
    async with bootstrap(alone) as own, TestClient(TestServer(create_app(alone, own))) as client:
        assert {"identity", "cognito-idp"}.isdisjoint(own.pings)
        ready = await answer_of(await client.get("/readyz"))
        assert ready.status == 200
        path = f"/v1.0/tenants/{new_id()}"
        assert (await client.get(path)).status == 401
        assert (await client.get(path, headers={"Authorization": "Bearer x"})).status == 503


@pytest.mark.needs("cognito")
async def test_user_of_a_real_pool_is_let_in(settings: Settings, provisioned: Settings, aws: Aws) -> None:
    """From the pool's own login to an order, nothing in between made up by a test."""
    pool = await real_pool(aws, "Operator")
    trusting = settings.model_copy(update=pool.settings)
    async with bootstrap(trusting) as services, TestClient(TestServer(create_app(trusting, services))) as client:
        for name, status in (("IdToken", 201), ("AccessToken", 201), ("RefreshToken", 401)):
            api = Api(client, services, Identity(), {"Authorization": f"Bearer {pool.tokens[name]}"})
            assert (await api.place(await api.a_tenant(), await api.a_product())).status == status, name
