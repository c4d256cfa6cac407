"""Operations, `TENANT#{tenantId} | OP#{id}` in `bbws-tenants`; found by their id alone, by status, and when due."""

from datetime import datetime

from bbws.shared.clock import iso
from bbws.shared.contracts.operations import Operation, OperationStatus
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.core.due import DONE, DueWork, readable
from bbws.shared.core.items import at_version, item_of, model_of
from bbws.shared.core.tenant_items import TenantItems, is_kept
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Put, Update, Write
from bbws.shared.dynamo.keys import METADATA, TENANTS

# What was done and when, and where the export lies: nobody is named.
_OPERATIONS = TenantItems(TENANTS, "OP", is_kept)
KINDS = (_OPERATIONS,)
_TO_DO = DueWork(TENANTS, "OPERATION")


class OperationChanged(Exception):
    """Another process took the operation meanwhile."""


class OperationRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str, operation_id: str) -> Operation | None:
        item = await self._database.find(TENANTS, _OPERATIONS.key(tenant_id, operation_id))
        return model_of(Operation, item) if item else None

    async def find_anywhere(self, operation_id: str) -> Operation | None:
        """By its id alone, at once: an index would lag behind the answer that names the id."""
        pointer = await self._database.find(TENANTS, (f"OP#{operation_id}", METADATA))
        return await self.find(pointer["tenantId"], operation_id) if pointer else None

    async def list_of_tenant(self, tenant_id: str, page: PageRequest) -> Page[Operation]:
        """Newest first."""
        found = await self._database.page(page=page, **_OPERATIONS.of(tenant_id), newest_first=True)
        return _operations(found)

    async def list_by_status(self, tenant_id: str, status: OperationStatus, page: PageRequest) -> Page[Operation]:
        """Newest first, through an index that lags a moment behind the table."""
        partition = ("GSI2PK", _of_status(tenant_id, status))
        return _operations(
            await self._database.page(TENANTS, page, partition=partition, index="GSI2", newest_first=True)
        )

    async def list_due(self, now: datetime) -> list[Operation]:
        """Those that somebody should start, or that whoever started them has not finished in time."""
        return readable(Operation, await _TO_DO.list_due(self._database, now))

    def new(self, operation: Operation, due_at: datetime) -> list[Write]:
        """The operation, and what leads to it from its id alone."""
        pointer = {"PK": f"OP#{operation.id}", "SK": METADATA, "tenantId": operation.tenant_id}
        return [Put(TENANTS, _item(operation, due_at)), Put(TENANTS, pointer)]

    def changed(self, operation: Operation, due_at: datetime | None) -> Update:
        """This version over the one before, to be taken up at `due_at` or never again.

        Raises OperationChanged where another process came first.
        """
        item = _item(operation, due_at)
        key = (item.pop("PK"), item.pop("SK"))
        return Update(
            TENANTS,
            key,
            {**DONE, "error": None} | item,
            **at_version(operation.version - 1),
            conflict=OperationChanged(operation.id),
        )


def _operations(found: Page[Item]) -> Page[Operation]:
    return Page([model_of(Operation, item) for item in found.items], found.next_cursor)


def _of_status(tenant_id: str, status: OperationStatus) -> str:
    return "#".join(_OPERATIONS.key(tenant_id, status))


def _item(operation: Operation, due_at: datetime | None) -> Item:
    return item_of(
        operation,
        _OPERATIONS.key(operation.tenant_id, operation.id),
        GSI2PK=_of_status(operation.tenant_id, operation.status),
        GSI2SK=f"{iso(operation.date_created)}#{operation.id}",
        **_TO_DO.at(operation.id, due_at),
    )
