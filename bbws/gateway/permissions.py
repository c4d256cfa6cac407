"""Who may do what, on one page: the only place that knows which role has which right.

Operator and Admin belong to the company that runs BBWS (groups of the user pool) and act for every tenant. Owner,
Member and Viewer are roles in one tenant. Self is whoever the path itself names.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Literal


class Role(StrEnum):
    ADMIN = "Admin"
    OPERATOR = "Operator"
    OWNER = "Owner"
    MEMBER = "Member"
    VIEWER = "Viewer"
    SELF = "Self"


class Right(StrEnum):
    TENANTS_CREATE = "tenants:create"
    TENANTS_LIST = "tenants:list"
    TENANTS_READ = "tenants:read"
    TENANTS_UPDATE = "tenants:update"
    TENANTS_CHANGE_EMAIL = "tenants:change-email"
    TENANTS_PARK = "tenants:park"
    TENANTS_SUSPEND = "tenants:suspend"
    TENANTS_DELETE = "tenants:delete"
    TENANTS_PURGE = "tenants:purge"
    USERS_READ = "users:read"
    USERS_MANAGE = "users:manage"
    USER_TENANTS_READ = "user-tenants:read"
    HIERARCHY_READ = "hierarchy:read"
    HIERARCHY_MANAGE = "hierarchy:manage"
    AUDIT_READ = "audit:read"
    PLATFORM_AUDIT_READ = "platform-audit:read"
    OPERATIONS_READ = "operations:read"
    ORDERS_CREATE = "orders:create"
    ORDERS_READ = "orders:read"
    CATALOGUE_MANAGE = "catalogue:manage"


# What an operation asks of its caller: a right, nothing, or (an order's own pages) the key in the address.
Access = Right | Literal["public", "order-key"]

_STAFF = frozenset({Role.ADMIN, Role.OPERATOR})
_OWNERS = _STAFF | {Role.OWNER}
_MEMBERS = _OWNERS | {Role.MEMBER}
_ALL = _MEMBERS | {Role.VIEWER}

GRANTS = MappingProxyType(
    {
        Right.TENANTS_CREATE: _STAFF,
        Right.TENANTS_LIST: _STAFF,
        Right.TENANTS_READ: _ALL,
        Right.TENANTS_UPDATE: _OWNERS,
        # What is ordered in the shop with an e-mail goes to the tenant that has it: nobody may take a stranger's.
        Right.TENANTS_CHANGE_EMAIL: _STAFF,
        Right.TENANTS_PARK: _OWNERS,
        Right.TENANTS_SUSPEND: _STAFF,
        Right.TENANTS_DELETE: _STAFF,
        Right.TENANTS_PURGE: frozenset({Role.ADMIN}),
        Right.USERS_READ: _MEMBERS,
        Right.USERS_MANAGE: _OWNERS,
        Right.USER_TENANTS_READ: _STAFF | {Role.SELF},
        Right.HIERARCHY_READ: _ALL,
        Right.HIERARCHY_MANAGE: _OWNERS,
        Right.AUDIT_READ: _OWNERS,
        Right.PLATFORM_AUDIT_READ: _STAFF,
        Right.OPERATIONS_READ: _OWNERS,
        Right.ORDERS_CREATE: _MEMBERS,
        Right.ORDERS_READ: _ALL,
        Right.CATALOGUE_MANAGE: _STAFF,
    }
)
