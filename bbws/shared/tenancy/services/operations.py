"""Work that outlasts its request: how far it is."""

from bbws.shared.contracts.operations import Operation, OperationStatus
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.dynamo.database import Database
from bbws.shared.errors import NotFound
from bbws.shared.tenancy.repositories.operations import OperationRepository
from bbws.shared.tenancy.repositories.tenants import TenantRepository


class Operations:
    def __init__(self, database: Database) -> None:
        self._operations = OperationRepository(database)
        self._tenants = TenantRepository(database)

    async def get(self, operation_id: str) -> Operation:
        """Whichever tenant's it is. Raises NotFound."""
        operation = await self._operations.find_anywhere(operation_id)
        if operation is None:
            raise NotFound(f"there is no operation {operation_id}")
        return operation

    async def list_of_tenant(
        self, tenant_id: str, page: PageRequest, status: OperationStatus | None = None
    ) -> Page[Operation]:
        """Newest first. Raises NotFound for an unknown tenant."""
        await self._tenants.get(tenant_id)
        if status:
            return await self._operations.list_by_status(tenant_id, status, page)
        return await self._operations.list_of_tenant(tenant_id, page)
