"""Who calls, and whether they may: a token of the user pool in, a `Caller` with roles out.

A tenant in which the caller has no role looks exactly like one that does not exist (404); a role without the right is
told which right it lacks (403).
"""

import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from bbws.gateway.permissions import GRANTS, Right, Role
from bbws.gateway.problems import ClientError
from bbws.gateway.route import Route
from bbws.shared.contracts.operations import Operation
from bbws.shared.contracts.tenancy.users import TenantRole
from bbws.shared.errors import Forbidden, NotFound, Unauthenticated
from bbws.shared.ids import is_id
from bbws.shared.integrations.tokens import Claims, TokenVerifier
from bbws.shared.sales.order_keys import PARAMETER as ORDER_KEY

# How long a role is remembered for reading: that it was changed or taken counts after this at the latest, that it was
# given counts at once.
ROLE_FRESH_S = 30.0
# Changes ask for the role of this moment: somebody who was removed must not use the rest of that time to come back.
_READS = frozenset({"GET", "HEAD"})
MAX_ROLES = 10_000

_STAFF = {Role.ADMIN, Role.OPERATOR}

# RFC 6750 section 3: what an error_description may hold.
_UNQUOTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")

RoleIn = Callable[[str, str], Awaitable[TenantRole | None]]
OperationOf = Callable[[str], Awaitable[Operation]]
Opens = Callable[[str, str, str], bool]


@dataclass(frozen=True, slots=True)
class Caller:
    """`roles` are those that count for this request: staff's everywhere, a user's own in the tenant of the path."""

    user_id: str
    email: str | None
    roles: frozenset[Role]

    def may(self, right: Right) -> bool:
        return bool(self.roles & GRANTS[right])

    def require(self, right: Right) -> None:
        """Raises Forbidden naming the right."""
        if not self.may(right):
            raise Forbidden(f"This needs the right {right.value}, which {_named(self.roles)} does not give.")


class Authorizer:
    """Tells callers apart.

    `role_in` says which role a user has in a tenant, or None; `operation` finds one by its id, or raises NotFound;
    `opens` says whether a key is that of a tenant's order.
    """

    def __init__(
        self,
        tokens: TokenVerifier,
        role_in: RoleIn,
        operation: OperationOf,
        opens: Opens,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._role_in = role_in
        self._operation = operation
        self._opens = opens
        self._now = now
        self._known: OrderedDict[tuple[str, str], tuple[TenantRole, float]] = OrderedDict()

    async def authorize(self, request: web.Request, route: Route) -> Caller | None:
        """The caller, who may do this; None where nobody need say who they are.

        Raises ClientError 401, Forbidden, and NotFound where the caller may not know whether the thing exists.
        """
        if not isinstance(route.access, Right):
            if route.access == "order-key":
                self._require_key(request)
            return None
        claims = await self._claims(request)
        caller = Caller(claims.user_id, claims.email, await self._roles(request, route, claims))
        caller.require(route.access)
        return caller

    def _require_key(self, request: web.Request) -> None:
        """Raises NotFound, as for an order that does not exist."""
        tenant_id, order_id = _id(request, "tenantId"), _id(request, "orderId")
        keys = request.query.getall(ORDER_KEY, [])
        if len(keys) != 1 or not self._opens(tenant_id, order_id, keys[0]):
            raise NotFound(f"there is no order {order_id}")

    async def _claims(self, request: web.Request) -> Claims:
        given = request.headers.getall("Authorization", [])
        if not given:
            raise _unauthenticated("This operation needs a token: send Authorization: Bearer and the token.", None)
        scheme, _, token = given[0].partition(" ")
        try:
            if len(given) > 1 or scheme.lower() != "bearer":
                raise Unauthenticated("Send one Authorization header, with the scheme Bearer.")
            return await self._tokens.verify(token.strip())
        except Unauthenticated as error:
            raise _unauthenticated(error.detail, "invalid_token") from error

    async def _roles(self, request: web.Request, route: Route, claims: Claims) -> frozenset[Role]:
        """Staff's count everywhere; others must have one in the route's scope, or what it names looks unknown."""
        staff = frozenset(role for role in _STAFF if role.value in claims.groups)
        match route.scope:
            case "tenant":
                tenant_id, may_remember = _id(request, "tenantId"), request.method in _READS
                return staff or frozenset({await self._own_role(tenant_id, claims.user_id, may_remember=may_remember)})
            case "operation":
                return staff or frozenset({await self._role_for(_id(request, "operationId"), claims.user_id)})
            case "user":
                user_id = _id(request, "userId")
                if user_id == claims.user_id:
                    return staff | {Role.SELF}
                if not staff:
                    raise NotFound(f"there is no user {user_id}")
                return staff
            case _:
                return staff

    async def _role_for(self, operation_id: str, user_id: str) -> Role:
        """The role in the tenant whose operation it is; somebody else's looks like none."""
        unknown = NotFound(f"there is no operation {operation_id}")
        if not is_id(operation_id):
            raise unknown
        operation = await self._operation(operation_id)
        try:
            return await self._own_role(operation.tenant_id, user_id)
        except NotFound:
            raise unknown from None

    async def _own_role(self, tenant_id: str, user_id: str, *, may_remember: bool = True) -> Role:
        key, now = (tenant_id, user_id), self._now()
        known = self._known.get(key)
        if may_remember and known is not None and known[1] > now:
            return Role[known[0]]
        role = await self._role_in(tenant_id, user_id) if is_id(tenant_id) else None
        self._remember(key, role, now)
        if role is None:
            raise NotFound(f"there is no tenant {tenant_id}")
        return Role[role]

    def _remember(self, key: tuple[str, str], role: TenantRole | None, now: float) -> None:
        self._known.pop(key, None)
        if role is not None:
            self._known[key] = role, now + ROLE_FRESH_S
        if len(self._known) > MAX_ROLES:
            self._known.popitem(last=False)


def _id(request: web.Request, name: str) -> str:
    return request.match_info[name].lower()


def _unauthenticated(detail: str, error: str | None) -> ClientError:
    """RFC 6750 section 3: without any token the challenge carries no error."""
    reason = f', error="{error}", error_description="{_UNQUOTABLE.sub("?", detail)}"' if error else ""
    return ClientError(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": f'Bearer realm="bbws"{reason}'})


def _named(roles: frozenset[Role]) -> str:
    names = sorted(role.value for role in roles)
    return f"the role {' or '.join(names)}" if names else "a user without a role"
