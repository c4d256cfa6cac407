"""Tenants in `bbws-tenants`. E-mail and organisation are unique by guard items, not by an index (C-09)."""

from bbws.shared.clock import iso
from bbws.shared.contracts.tenants import Tenant
from bbws.shared.dynamo.database import Check, Database, Put, Update, Write
from bbws.shared.errors import Conflict, FieldError
from bbws.shared.repositories.items import item_of, model_of

TABLE = "bbws-tenants"
METADATA = "METADATA"


class TenantExists(Exception):
    """A tenant of this id stands already."""


class TenantChanged(Exception):
    """The tenant has another version than the one that was read."""


class TenantRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str) -> Tenant | None:
        item = await self._database.find(TABLE, (f"TENANT#{tenant_id}", METADATA))
        return model_of(Tenant, item) if item else None

    async def find_by_email(self, email: str) -> Tenant | None:
        """AP-1, through the guard item: unlike `EmailIndex` it never lags behind a registration."""
        guard = await self._database.find(TABLE, (f"UNIQUE#EMAIL#{normal_email(email)}", METADATA))
        return await self.find(guard["tenantId"]) if guard else None

    def new(self, tenant: Tenant) -> list[Write]:
        """The tenant and its guards; a taken e-mail or organisation raises Conflict naming the field, a
        taken id TenantExists."""
        writes: list[Write] = [
            Put(TABLE, _item(tenant), conflict=TenantExists(tenant.id)),
            _guard(tenant, f"UNIQUE#EMAIL#{normal_email(tenant.email)}", "email"),
        ]
        if tenant.organization_name:
            name = normal_organization(tenant.organization_name)
            writes.append(_guard(tenant, f"UNIQUE#ORG#{name}", "organizationName"))
        return writes

    def changed(self, before: Tenant, after: Tenant) -> list[Write]:
        """`after` over `before`. Raises TenantChanged where another change came first."""
        item = _item(after)
        key = (str(item.pop("PK")), str(item.pop("SK")))
        update = Update(
            TABLE,
            key,
            item,
            condition="#version = :before",
            names={"#version": "version"},
            values={":before": before.version},
            conflict=TenantChanged(f"tenant {before.id} is no longer at version {before.version}"),
        )
        return [update]

    def still_open(self, tenant_id: str) -> Check:
        """For transactions on what belongs to the tenant. Raises Conflict where it was deleted meanwhile."""
        return Check(
            TABLE,
            (f"TENANT#{tenant_id}", METADATA),
            condition="attribute_exists(PK) AND #status <> :deleted",
            names={"#status": "status"},
            values={":deleted": "DELETED"},
            conflict=tenant_deleted(tenant_id),
        )


def tenant_deleted(tenant_id: str) -> Conflict:
    return Conflict(f"tenant {tenant_id} is deleted; restore it first")


def normal_email(email: str) -> str:
    return email.strip().casefold()


def normal_organization(name: str) -> str:
    return " ".join(name.split()).casefold()


def _item(tenant: Tenant) -> dict[str, object]:
    return item_of(
        tenant,
        (f"TENANT#{tenant.id}", METADATA),
        entityType="TENANT",
        GSI1PK=f"ORG#{normal_organization(tenant.organization_name)}" if tenant.organization_name else None,
        GSI1SK=f"TENANT#{tenant.id}" if tenant.organization_name else None,
        GSI2PK=f"STATUS#{tenant.status}",
        GSI2SK=f"{iso(tenant.date_last_updated)}#{tenant.id}",
        GSI3PK=f"ENV#{tenant.environment}",
        GSI3SK=f"{iso(tenant.date_created)}#{tenant.id}",
    )


def _guard(tenant: Tenant, key: str, field: str) -> Put:
    taken = Conflict(f"this {field} belongs to another tenant", [FieldError(f"#/{field}", "is taken")])
    return Put(TABLE, {"PK": key, "SK": METADATA, "tenantId": tenant.id}, conflict=taken)
