"""Every route with every role, over HTTP, against a table written by hand: what BBWS promises to whom.

The table names roles, not rights, so that neither a route with a wrong right nor a right granted to a wrong role goes
unnoticed. A new route needs a line here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bbws.gateway.permissions import GRANTS, Right, Role
from bbws.gateway.route import Route
from bbws.gateway.routes import ROUTES, STOREFRONT
from bbws.shared.contracts.tenancy.users import TenantRole
from bbws.shared.ids import new_id
from tests.gateway.support import Answer, Api, description
from tests.gateway.tenancy import assign

EVERYBODY = "everybody"
STAFF = "Admin Operator"
OWNERS = f"{STAFF} Owner"
MEMBERS = f"{OWNERS} Member"
ALL = f"{MEMBERS} Viewer"

ALLOWED: Mapping[str, str] = {
    "registration-create": EVERYBODY,
    "tenant-create": STAFF,
    "tenant-get": ALL,
    "registration-confirm": EVERYBODY,
    "tenant-list": STAFF,
    "tenant-update": OWNERS,
    "tenant-delete": STAFF,
    "tenant-park": OWNERS,
    "tenant-unpark": OWNERS,
    "tenant-suspend": STAFF,
    "tenant-resume": STAFF,
    "tenant-restore": STAFF,
    "tenant-status": ALL,
    "tenant-operation-list": OWNERS,
    "operation-get": OWNERS,
    "user-assign": OWNERS,
    "user-list": MEMBERS,
    "user-get": MEMBERS,
    "user-update": OWNERS,
    "user-remove": OWNERS,
    "user-tenant-list": STAFF,
    "hierarchy-get": ALL,
    "hierarchy-create": OWNERS,
    "hierarchy-unit-get": ALL,
    "hierarchy-update": OWNERS,
    "hierarchy-delete": OWNERS,
    "audit-list": OWNERS,
    "audit-export": OWNERS,
    "platform-audit-list": STAFF,
    "product-list": EVERYBODY,
    "product-create": STAFF,
    "product-get": EVERYBODY,
    "product-update": STAFF,
    "product-delete": STAFF,
    "campaign-create": STAFF,
    "campaign-get": EVERYBODY,
    "order-create": MEMBERS,
    "order-list": ALL,
    "order-get": ALL,
    "order-payment-list": ALL,
    "order-invoice-get": ALL,
    "order-event-stream": ALL,
    "order-document-get": ALL,
    "payfast-itn-receive": EVERYBODY,
    "health-get": EVERYBODY,
    "ready-get": EVERYBODY,
    "metrics-get": EVERYBODY,
    "openapi-get": EVERYBODY,
    "docs-page": EVERYBODY,
    "docs-asset": EVERYBODY,
}

# Weakest first: what a call brings about must not decide how the next one is answered.
CALLERS = ("anonymous", "nobody", "Viewer", "Member", "Owner", "Operator", "Admin")
IN_TENANT: Mapping[str, TenantRole] = {"Viewer": "VIEWER", "Member": "MEMBER", "Owner": "OWNER"}


@dataclass(frozen=True)
class World:
    """A tenant with a user in each role, and callers of all kinds."""

    api: Api
    tenant_id: str
    users: Mapping[str, str]

    def caller(self, name: str) -> Api:
        match name:
            case "anonymous":
                return self.api.anonymous()
            case "nobody":
                return self.api.by()
            case "Admin" | "Operator":
                return self.api.by(name)
        return self.api.by(user_id=self.users[name])

    async def call(self, name: str, route: Route) -> Answer:
        """A request that no handler can answer well: nothing in it is right but the tenant and the caller."""
        path = route.path
        for each in route.path_names:
            path = path.replace(f"{{{each}}}", self.tenant_id if each == "tenantId" else new_id())
        request: dict[str, Any] = {} if route.method == "GET" else {"data": b"{", "headers": {"Content-Type": "text/x"}}
        return await self.caller(name).call(route.method, path, **request)


async def a_world(api: Api) -> World:
    tenant = await api.a_tenant()
    return World(api, tenant.id, {name: await assign(api, tenant.id, role) for name, role in IN_TENANT.items()})


def test_every_route_says_who_may() -> None:
    """A route that nobody thought about is open to nobody, or to everybody; neither may go unnoticed."""
    assert {route.operation_id for route in ROUTES} == set(ALLOWED)


def test_what_is_published_is_what_is_promised() -> None:
    """The description tells readers which roles have a right; a role that it names without effect would mislead."""
    for route in ROUTES:
        if isinstance(route.access, Right):
            promised = set(ALLOWED[route.operation_id].split())
            assert {role.value for role in GRANTS[route.access]} - {"Self"} == promised, route.operation_id


async def test_those_in_the_table_are_let_in_and_nobody_else(api: Api) -> None:
    """401 without a token, 404 for strangers in a tenant, 403 for the rest, before anything else is looked at."""
    wrong = {}
    for route in ROUTES:
        # A tenant for each: what one operation did to it must not decide how the next one is answered.
        world = await a_world(api)
        for name in CALLERS:
            answer, expected = await world.call(name, route), _expected(route, name, ALLOWED[route.operation_id])
            if _verdict(world, answer) != expected or not _says_why(route, answer):
                wrong[route.operation_id, name] = (expected, answer.status, answer.body)
    assert wrong == {}


def _says_why(route: Route, answer: Answer) -> bool:
    if answer.status == 401:
        return bool(answer.headers["WWW-Authenticate"] == 'Bearer realm="bbws"')
    return answer.status != 403 or (isinstance(route.access, Right) and route.access.value in answer.json["detail"])


def _verdict(world: World, answer: Answer) -> str:
    if answer.status in {401, 403}:
        return str(answer.status)
    detail = answer.json.get("detail", "") if isinstance(answer.json, dict) else ""
    # The tenant is there: only the door says that it is not. A handler has other things to miss.
    refusal = rf"there is no (tenant {world.tenant_id}|(user|operation) [0-9a-f-]{{36}})"
    shut_out = answer.status == 404 and re.fullmatch(refusal, detail)
    return "404" if shut_out else "in"


def _expected(route: Route, name: str, allowed: str) -> str:
    if allowed == EVERYBODY:
        return "in"
    if name == "anonymous":
        return "401"
    # Roles of a tenant count below its address alone.
    counts = "tenantId" in route.path_names or name in {"Admin", "Operator"}
    if "operationId" in route.path_names:
        # There is none; who sees one that there is, `test_tenants` asks.
        return "404"
    if counts and name in allowed.split():
        return "in"
    if "tenantId" in route.path_names:
        return "404" if name == "nobody" else "403"
    return "404" if {"userId", "operationId"} & set(route.path_names) else "403"


TENANT_ROUTES = [route for route in ROUTES if "tenantId" in route.path_names]


async def test_no_role_reaches_into_another_tenant(api: Api) -> None:
    """An owner is a stranger next door, whatever the operation: one that forgets its tenant would leak a customer."""
    home, foreign = await a_world(api), await a_world(api)
    visitor = World(api, foreign.tenant_id, home.users)
    for route in TENANT_ROUTES:
        for name in ("Viewer", "Owner"):
            assert _verdict(visitor, await visitor.call(name, route)) == "404", route.operation_id


# Those below a thing of the tenant, as `/orders/{orderId}` is.
NESTED = [route for route in TENANT_ROUTES if any(n.endswith("Id") for n in route.path_names if n != "tenantId")]


async def test_thing_of_another_tenant_is_not_found_under_ones_own(api: Api) -> None:
    """The door looks at the tenant of the address only: each handler must look for the thing within it.

    Asked as the owner of the one tenant and as staff, who may see both; with If-Match and a body that parses, so that
    nothing else can be the reason.
    """
    mine, other = await a_world(api), await a_world(api)
    things = await _things_of(api, other)
    for route in NESTED:
        path = route.path.format_map({"kind": "order", **things, "tenantId": mine.tenant_id})
        request: dict[str, Any] = {"headers": {"If-Match": "*"}} if route.if_match else {}
        if route.request is not None:
            request["json"] = BODIES[route.operation_id]
        for caller in ("Owner", "Operator"):
            answer = await mine.caller(caller).call(route.method, path, **request)
            refused = {404, 403} if caller == "Owner" else {404}
            assert answer.status in refused, (route.operation_id, caller, answer.body)


# A body that parses for each nested operation that takes one.
BODIES: Mapping[str, Any] = {"user-update": {"role": "VIEWER"}, "hierarchy-update": {"name": "Bakers"}}


async def _things_of(api: Api, world: World) -> dict[str, str]:
    """One thing of each kind that belongs to the world's tenant, by the name of its id in paths; new kinds go here."""
    tenant = await api.services.tenants.get(world.tenant_id)
    order = (await api.place(tenant, await api.a_product())).json
    unit = await api.post(f"/v1.0/tenants/{tenant.id}/hierarchy", {"name": "Millers"})
    return {"orderId": order["id"], "userId": world.users["Member"], "unitId": unit.json["id"]}


async def test_lists_hold_nothing_of_another_tenant(api: Api) -> None:
    """A list has no id in its address that could be wrong, only a query that could be too wide."""
    mine, other = await a_world(api), await a_world(api)
    things = await _things_of(api, other)
    secrets = {*things.values(), *other.users.values(), other.tenant_id}
    for route in TENANT_ROUTES:
        if route.method == "GET" and route.path_names == ("tenantId",) and not route.streamed:
            answer = await mine.caller("Owner").call("GET", route.path.replace("{tenantId}", mine.tenant_id))
            assert answer.status == 200, route.operation_id
            assert not any(secret in answer.body.decode() for secret in secrets), route.operation_id


def test_every_right_is_granted_to_somebody_and_staff_have_all_but_the_purge() -> None:
    """A right without a line in the table would be a KeyError at the first request that needs it."""
    assert set(GRANTS) == set(Right)
    assert all(Role.ADMIN in roles for roles in GRANTS.values())
    assert {right for right, roles in GRANTS.items() if Role.OPERATOR not in roles} == {Right.TENANTS_PURGE}
    assert not any(Role.VIEWER in GRANTS[right] for right in Right if not right.value.endswith(":read"))


def test_description_shows_security_of_every_operation() -> None:
    """A client's author reads what a call needs, and who has it, beside the call."""
    for route in ROUTES:
        if route.page:
            continue
        operation = description()["paths"][route.path][route.method.lower()]
        if not isinstance(route.access, Right):
            assert operation["security"] == []
            assert "401" not in operation["responses"]
            continue
        assert operation["security"] == [{"cognito": [route.access.value]}]
        assert {"401", "403"} <= set(operation["responses"])
        roles = [role.value for role in Role if role in GRANTS[route.access]]
        assert f"`{route.access.value}`, which these have: {', '.join(roles)}." in operation["description"]
    assert description()["components"]["securitySchemes"]["cognito"]["scheme"] == "bearer"


def test_pages_are_public_or_open_with_a_key() -> None:
    """Pages carry no tokens; one that shows an order without asking for its key would show it to everybody."""
    for route in STOREFRONT:
        assert route.access == ("order-key" if "orderId" in route.path_names else "public")
