"""People for tests: assigned through the service, and what became of them in AWS."""

from typing import Any

import orjson

from bbws.shared.contracts.audit import AuditEntry
from bbws.shared.contracts.pages import MAX_PAGE_SIZE, PageRequest
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.contracts.tenancy.users import TenantRole, UserAssignment, UserAssignmentDraft
from bbws.shared.core.items import model_of
from bbws.shared.dynamo.codec import encode
from bbws.shared.dynamo.keys import tenant_partition
from bbws.shared.ids import new_id
from tests.support.market import Market

ACTOR = "user:of-a-test"


def draft(role: TenantRole = "MEMBER", email: str | None = None) -> UserAssignmentDraft:
    return UserAssignmentDraft(email=email or f"{new_id()}@protea.example", role=role)


async def assigned(
    market: Market, tenant: Tenant, role: TenantRole = "MEMBER", email: str | None = None
) -> UserAssignment:
    assignment, _ = await market.services.users.assign(tenant.id, draft(role, email), actor=ACTOR)
    return assignment


async def users_of(market: Market, tenant: Tenant) -> dict[str, str]:
    """The role of each user, by e-mail."""
    found = await market.services.users.list_of_tenant(tenant.id, PageRequest(MAX_PAGE_SIZE))
    return {user.email: user.role for user in found.items}


async def trail_of(market: Market, tenant_id: str) -> list[AuditEntry]:
    """The audit entries of a tenant, oldest first."""
    items = await market.items("bbws-tenants", tenant_partition(tenant_id))
    return [model_of(AuditEntry, item) for item in items if item["SK"].startswith("EVENT#")]


async def events_of(market: Market, tenant: Tenant) -> list[dict[str, Any]]:
    """What was published for the tenant, oldest first, as the rows of the outbox hold it."""
    found = []
    for shard in range(4):
        rows = await market.items("bbws-tenants", f"OUTBOX#{shard}")
        found += [orjson.loads(row["envelope"]) for row in rows]
    return sorted((event for event in found if event["tenantid"] == tenant.id), key=lambda event: str(event["id"]))


async def delete_tenant(market: Market, tenant: Tenant) -> None:
    """Marked as deleted, as the stored item says it."""
    hold = {"since": "2026-11-21T17:30:00.000Z", "by": ACTOR}
    changes = {":status": "DELETED", ":deleted": hold, ":active": False}
    async with market.aws.client("dynamodb") as dynamodb:
        await dynamodb.update_item(
            TableName="bbws-tenants",
            Key={"PK": {"S": tenant_partition(tenant.id)}, "SK": {"S": "METADATA"}},
            UpdateExpression="SET #s = :status, deleted = :deleted, active = :active",
            ExpressionAttributeNames={"#s": "status"},
            ExpressionAttributeValues={name: encode(value) for name, value in changes.items()},
        )
