"""Orders and what stands beside them, in `orders`.

`TENANT#t | ORDER#o` is the order; the partition `TENANT#t#ORDER#o` holds its PAYMENT#, ITN#, INVOICE# and EMAIL#.
"""

from bbws.shared.clock import iso
from bbws.shared.contracts.base import Record
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.sales.orders import BillingAddress, Order
from bbws.shared.core.items import ACTIVE, Sought, at_version, item_of, model_of
from bbws.shared.core.tenant_items import Purge, StoredItem, TenantItems
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Key, Put, Update, Write
from bbws.shared.dynamo.keys import ORDERS, order_partition
from bbws.shared.errors import NotFound

ERASED = "erased"


def _without_customer(stored: StoredItem, purge: Purge) -> Write | None:
    """What was ordered and for how much stays, and the country, on which the tax depends.

    Reads no more than it needs: an order that this version does not understand is erased as well.
    """
    order = stored.item
    if order["customerEmail"] == purge.stand_in_email:
        return None
    country = order["billingAddress"]["country"]
    nowhere = BillingAddress(name=ERASED, line1=ERASED, city=ERASED, postal_code="0", country=country)
    before = model_of(Record, order)
    erased = before.changed(by=purge.actor, at=purge.at)
    changes = {
        "customerEmail": purge.stand_in_email,
        "billingAddress": nowhere.model_dump(mode="json", exclude_none=True),
        **erased.model_dump(mode="json", include={"date_last_updated", "last_updated_by", "version"}),
    }
    return Update(stored.table, stored.key, changes, **at_version(before.version))


def is_erased(order: Order) -> bool:
    return order.billing_address.line1 == ERASED


def _beside(order: Item) -> str:
    return order_partition(order["tenantId"], order["id"])


_ORDERS = TenantItems(ORDERS, "ORDER", _without_customer, beneath=_beside)
KINDS = (_ORDERS,)


class OrderChanged(Exception):
    """The order has another version than the one that was read."""


class OrderRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str, order_id: str) -> Order | None:
        item = await self._database.find(ORDERS, _ORDERS.key(tenant_id, order_id))
        return model_of(Order, item) if item else None

    def sought(self, tenant_id: str, order_id: str) -> Sought[Order]:
        return Sought(Order, (ORDERS, _ORDERS.key(tenant_id, order_id)))

    async def get(self, tenant_id: str, order_id: str) -> Order:
        """Raises NotFound."""
        order = await self.find(tenant_id, order_id)
        if order is None:
            raise NotFound(f"there is no order {order_id}")
        return order

    async def find_anywhere(self, order_id: str) -> Order | None:
        """By its id alone, through an index that lags a moment behind the table."""
        page = PageRequest(limit=1)
        found = await self._database.page(ORDERS, page, partition=("orderIdKey", order_id), index="OrderIdIndex")
        return model_of(Order, found.items[0]) if found.items else None

    async def list_of_tenant(self, tenant_id: str, page: PageRequest) -> Page[Order]:
        """AP-2, newest first."""
        found = await self._database.page(page=page, **_ORDERS.of(tenant_id), newest_first=True)
        return Page([model_of(Order, item) for item in found.items], found.next_cursor)

    async def list_by_status(self, status: str, page: PageRequest) -> Page[Order]:
        """AP-3 (R-077), oldest first; no page asks for it yet."""
        found = await self._database.page(ORDERS, page, partition=("status", status), index="OrderStatusIndex")
        return Page([model_of(Order, item) for item in found.items], found.next_cursor)

    async def list_beside(self, tenant_id: str, order_id: str) -> list[Item]:
        """Everything that stands beside the order, as stored."""
        return await self._database.partition(ORDERS, ("PK", order_partition(tenant_id, order_id)))

    def new(self, order: Order) -> Put:
        return Put(ORDERS, _item(order), conflict=OrderChanged(f"order {order.id} exists"))

    def paid(self, order: Order) -> Update:
        """Writes what a payment changes, over the version before this one.

        Never the whole item: what a newer process stored beside must survive an older one.
        """
        changed = {"status", "payment_details", "date_last_updated", "last_updated_by", "version"}
        return Update(
            ORDERS,
            _key(order),
            order.model_dump(mode="json", include=changed),
            **at_version(order.version - 1),
            conflict=OrderChanged(f"order {order.id} is no longer at version {order.version - 1}"),
        )


def _key(order: Order) -> Key:
    return _ORDERS.key(order.tenant_id, order.id)


def _item(order: Order) -> Item:
    return item_of(
        order,
        _key(order),
        orderIdKey=order.id,
        statusSort=f"{iso(order.date_created)}#{order.id}",
        activeKey=ACTIVE if order.active else None,
    )
