"""Who may act for a tenant."""

from bbws.shared.contracts.users import TenantRole
from bbws.shared.dynamo.database import Database
from bbws.shared.repositories.users import UserRepository


class Users:
    def __init__(self, database: Database) -> None:
        self._users = UserRepository(database)

    async def role_in(self, tenant_id: str, user_id: str) -> TenantRole | None:
        """None where the user has no role in the tenant, or the tenant does not exist."""
        assignment = await self._users.find(tenant_id, user_id)
        return assignment.role if assignment else None
