"""Payments, each beside its order, in `orders`."""

from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.core.items import item_of, model_of
from bbws.shared.core.tenant_items import OrderItems, is_kept
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.dynamo.keys import ORDERS

# Ids, amounts and dates, which the law keeps; who paid is not in it.
_PAYMENTS = OrderItems(ORDERS, "PAYMENT", is_kept)
KINDS = (_PAYMENTS,)


class PaymentRecorded(Exception):
    """This payment stands beside its order already."""


class PaymentRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str, order_id: str, payment_id: str) -> Payment | None:
        item = await self._database.find(ORDERS, _PAYMENTS.key(tenant_id, order_id, payment_id))
        return model_of(Payment, item) if item else None

    async def list_of_order(self, tenant_id: str, order_id: str, page: PageRequest) -> Page[Payment]:
        """AP-6."""
        found = await self._database.page(page=page, **_PAYMENTS.of(tenant_id, order_id))
        return Page([model_of(Payment, item) for item in found.items], found.next_cursor)

    def new(self, payment: Payment) -> Put:
        key = _PAYMENTS.key(payment.tenant_id, payment.order_id, payment.id)
        item = item_of(payment, key, payfastIdKey=payment.payfast_id or None)
        return Put(ORDERS, item, conflict=PaymentRecorded(f"payment {payment.id} is recorded"))
