"""Assignments of users, `TENANT#{tenantId} | USER#{userId}` in `bbws-tenants`."""

from bbws.shared.contracts.users import UserAssignment
from bbws.shared.dynamo.database import Database
from bbws.shared.repositories.items import model_of

TABLE = "bbws-tenants"


class UserRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str, user_id: str) -> UserAssignment | None:
        item = await self._database.find(TABLE, (f"TENANT#{tenant_id}", f"USER#{user_id}"))
        return model_of(UserAssignment, item) if item else None
