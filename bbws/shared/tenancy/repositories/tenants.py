"""Tenants in `bbws-tenants`. E-mail and organisation are unique by guard items, not by an index (C-09)."""

from datetime import datetime

from bbws.shared.clock import iso
from bbws.shared.contracts.base import normal_name
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.tenancy.tenants import Environment, Tenant, TenantStatus, normal_email
from bbws.shared.core.due import DueWork, readable
from bbws.shared.core.items import Sought, at_version, item_of, model_of
from bbws.shared.core.tenant_items import TenantItems, is_kept
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Check, Database, Delete, Key, Put, Update, Write
from bbws.shared.dynamo.keys import METADATA, TENANTS
from bbws.shared.errors import Conflict, FieldError, NotFound

# The purge itself frees it of its names, with its guards and in one transaction.
_TENANT = TenantItems(TENANTS, METADATA, is_kept)
KINDS = (_TENANT,)
# Deleted tenants, until their purge is ordered.
_TO_PURGE = DueWork(TENANTS, "PURGE")


class TenantExists(Exception):
    """A tenant of this id stands already."""


class TenantChanged(Exception):
    """The tenant has another version than the one that was read."""


class TenantRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str) -> Tenant | None:
        item = await self._database.find(TENANTS, _TENANT.key(tenant_id))
        return model_of(Tenant, item) if item else None

    def sought(self, tenant_id: str) -> Sought[Tenant]:
        return Sought(Tenant, (TENANTS, _TENANT.key(tenant_id)))

    async def get(self, tenant_id: str) -> Tenant:
        """Also a deleted one. Raises NotFound."""
        tenant = await self.find(tenant_id)
        if tenant is None:
            raise unknown_tenant(tenant_id)
        return tenant

    async def get_open(self, tenant_id: str) -> Tenant:
        """Raises NotFound, and Conflict for a deleted one."""
        tenant = await self.get(tenant_id)
        if tenant.deleted:
            raise tenant_deleted(tenant_id)
        return tenant

    async def find_by_email(self, email: str) -> Tenant | None:
        """AP-1, through the guard item: unlike `EmailIndex` it never lags behind a registration."""
        guard = await self._database.find(TENANTS, (_email_guard(email), METADATA))
        return await self.find(guard["tenantId"]) if guard else None

    async def organization_is_taken(self, name: str) -> bool:
        """Through the guard item, too."""
        return await self._database.find(TENANTS, (_organization_guard(name), METADATA)) is not None

    async def list_by_email(self, email: str, page: PageRequest) -> Page[Tenant]:
        """AP-1, through `EmailIndex`, which holds addresses in lower case as the contracts make them."""
        address = normal_email(email)
        if not address:
            # DynamoDB refuses to look for an empty key.
            return Page([])
        partition, only_tenants = ("email", address), ("entityType", "TENANT")
        return _tenants(
            await self._database.page(TENANTS, page, partition=partition, index="EmailIndex", sort_prefix=only_tenants)
        )

    async def list_by_organization(self, name: str, page: PageRequest) -> Page[Tenant]:
        """R-126; capitals and spaces make no other organisation."""
        partition = ("GSI1PK", f"ORG#{normal_name(name)}")
        return _tenants(await self._database.page(TENANTS, page, partition=partition, index="GSI1"))

    async def list_by_status(self, status: TenantStatus, page: PageRequest) -> Page[Tenant]:
        """R-127, the one that changed last first."""
        partition = ("GSI2PK", f"STATUS#{status}")
        return _tenants(await self._database.page(TENANTS, page, partition=partition, index="GSI2", newest_first=True))

    async def list_by_environment(self, environment: Environment, page: PageRequest) -> Page[Tenant]:
        """C-07, newest first."""
        partition = ("GSI3PK", f"ENV#{environment}")
        return _tenants(await self._database.page(TENANTS, page, partition=partition, index="GSI3", newest_first=True))

    async def list_to_purge(self, now: datetime) -> list[Tenant]:
        """The deleted tenants whose days of grace are over, and whose purge nobody ordered yet."""
        return readable(Tenant, await _TO_PURGE.list_due(self._database, now))

    def new(self, tenant: Tenant) -> list[Write]:
        """The tenant and its guards; a taken e-mail or organisation raises Conflict naming the field, a
        taken id TenantExists."""
        guards = [_guard(tenant, key, field) for key, field in _guards(tenant).items()]
        return [Put(TENANTS, _item(tenant), conflict=TenantExists(tenant.id)), *guards]

    def changed(self, before: Tenant, after: Tenant) -> list[Write]:
        """`after` over `before`, and the guards of what they call themselves moved with it.

        Raises TenantChanged where another change came first, Conflict naming each field that another tenant has.
        Never the whole item: what a newer process stored beside must survive an older one.
        """
        item, old, new = _item(after), _guards(before), _guards(after)
        key = (item.pop("PK"), item.pop("SK"))
        gone = dict.fromkeys(_item(before).keys() - {"PK", "SK"} - item.keys())
        update = Update(
            TENANTS,
            key,
            gone | item,
            **at_version(before.version),
            conflict=TenantChanged(f"tenant {before.id} is no longer at version {before.version}"),
        )
        taken = [_guard(after, name, field) for name, field in new.items() if name not in old]
        return [update, *taken, *(_freed(before, name) for name in old if name not in new)]

    def still_open(self, tenant_id: str) -> Check:
        """For transactions on what belongs to the tenant. Raises Conflict where it was deleted meanwhile."""
        return Check(
            TENANTS,
            _TENANT.key(tenant_id),
            condition="attribute_exists(PK) AND #status <> :deleted",
            names={"#status": "status"},
            values={":deleted": "DELETED"},
            conflict=tenant_deleted(tenant_id),
        )


def unknown_tenant(tenant_id: str) -> NotFound:
    return NotFound(f"there is no tenant {tenant_id}")


def tenant_deleted(tenant_id: str) -> Conflict:
    return Conflict(f"tenant {tenant_id} is deleted; restore it first")


def _tenants(found: Page[Item]) -> Page[Tenant]:
    return Page([model_of(Tenant, item) for item in found.items], found.next_cursor)


def _item(tenant: Tenant) -> Item:
    organization = tenant.organization_name and normal_name(tenant.organization_name)
    purge_at = None if tenant.purge_operation_id else tenant.purge_at
    key = _TENANT.key(tenant.id)
    return item_of(
        tenant,
        key,
        entityType="TENANT",
        GSI1PK=f"ORG#{organization}" if organization else None,
        GSI1SK=key[0] if organization else None,
        GSI2PK=f"STATUS#{tenant.status}",
        GSI2SK=f"{iso(tenant.date_last_updated)}#{tenant.id}",
        GSI3PK=f"ENV#{tenant.environment}",
        GSI3SK=f"{iso(tenant.date_created)}#{tenant.id}",
        **_TO_PURGE.at(tenant.id, purge_at),
    )


def _guards(tenant: Tenant) -> dict[str, str]:
    """The keys that keep what the tenant calls itself, each with its field; a purged tenant keeps nothing."""
    if tenant.purged_at:
        return {}
    guards = {_email_guard(tenant.email): "email"}
    if tenant.organization_name:
        guards[_organization_guard(tenant.organization_name)] = "organizationName"
    return guards


def _email_guard(email: str) -> str:
    return f"UNIQUE#EMAIL#{normal_email(email)}"


def _organization_guard(name: str) -> str:
    return f"UNIQUE#ORG#{normal_name(name)}"


def _guard(tenant: Tenant, key: str, field: str) -> Put:
    taken = Conflict(f"this {field} belongs to another tenant", [FieldError(f"#/{field}", "is taken")])
    return Put(TENANTS, {"PK": key, "SK": METADATA, "tenantId": tenant.id}, conflict=taken)


def _freed(tenant: Tenant, guard: str) -> Delete:
    key: Key = (guard, METADATA)
    return Delete(TENANTS, key, condition="attribute_not_exists(PK) OR tenantId = :id", values={":id": tenant.id})
