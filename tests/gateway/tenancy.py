"""Roles of users in tenants, as tests need them: straight into the table, whatever rules the service has."""

from bbws.shared.bootstrap import aws_clients
from bbws.shared.clock import utc_now
from bbws.shared.contracts.tenancy.users import TenantRole, UserAssignment
from bbws.shared.core.items import item_of
from bbws.shared.dynamo.codec import encode_item
from bbws.shared.dynamo.keys import TENANTS, tenant_partition
from bbws.shared.ids import new_id
from tests.gateway.support import Api


async def assign(api: Api, tenant_id: str, role: TenantRole | None, user_id: str | None = None) -> str:
    """The user, by default a new one, has this role in the tenant, or none any more; returns who it is."""
    user_id = user_id or new_id()
    key = (tenant_partition(tenant_id), f"USER#{user_id}")
    async with aws_clients(api.services.settings) as clients:
        dynamodb = await clients.get("dynamodb")
        if role is None:
            await dynamodb.delete_item(TableName=TENANTS, Key=encode_item({"PK": key[0], "SK": key[1]}))
        else:
            item = item_of(_assignment(tenant_id, user_id, role), key)
            await dynamodb.put_item(TableName=TENANTS, Item=encode_item(item))
    return user_id


def _assignment(tenant_id: str, user_id: str, role: TenantRole) -> UserAssignment:
    now, email = utc_now(), f"{user_id}@protea.example"
    return UserAssignment(
        tenant_id=tenant_id, user_id=user_id, email=email, role=role, date_created=now, date_last_updated=now,
        last_updated_by="test",
    )  # fmt: skip
