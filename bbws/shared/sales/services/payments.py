"""What was paid for orders: written down by `order-record`, which also moves each order to PAID, once (C-10)."""

from bbws.shared.clock import Clock
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.sales.order_events import OrderCreated
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.core.audit import AuditEntries
from bbws.shared.dynamo.database import Database, Put, Write
from bbws.shared.logging import get_logger
from bbws.shared.sales.repositories.orders import OrderRepository
from bbws.shared.sales.repositories.payments import PaymentRecorded, PaymentRepository
from bbws.shared.sales.rules import paying

RECORDER = "order-record"

log = get_logger(__name__)


class Payments:
    def __init__(self, database: Database, audit: AuditEntries, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._payments = PaymentRepository(database)
        self._orders = OrderRepository(database)

    async def list_of_order(self, tenant_id: str, order_id: str, page: PageRequest) -> Page[Payment]:
        await self._orders.get(tenant_id, order_id)
        return await self._payments.list_of_order(tenant_id, order_id, page)

    async def record(self, event: OrderCreated) -> None:
        """The order is PAID and its payment stands beside it; a repeat changes nothing.

        Raises NotFound for an order that BBWS never took, Conflict where the event contradicts the order, OrderChanged
        when it was changed in this very moment.
        """
        payment = event.data.payment
        order = await self._orders.get(payment.tenant_id, payment.order_id)
        if await self._payments.find(payment.tenant_id, payment.order_id, payment.id):
            return
        paying.check_told(event, order)
        now = self._clock()
        recorded = payment.replace(date_last_updated=now, last_updated_by=RECORDER)
        writes: list[Write] = [self._payments.new(recorded)]
        if order.status == "PENDING_PAYMENT":
            paid = paying.paid(order, payment, by=RECORDER, at=now)
            writes += [self._orders.paid(paid), self._moved(order, paid)]
        else:
            writes.append(self._paid_again(recorded))
            log.warning("order was paid again", order_id=order.id, status=order.status, payment_id=payment.id)
        try:
            await self._database.transact(writes)
        except PaymentRecorded:
            return
        log.info("order paid", order_id=order.id, payment_id=payment.id)

    def _moved(self, before: Order, after: Order) -> Put:
        return self._audit.entry(
            f"ORDER_{after.status}",
            tenant_id=after.tenant_id,
            subject=f"orders/{after.id}",
            actor=RECORDER,
            before=before,
            after=after,
        )

    def _paid_again(self, payment: Payment) -> Put:
        return self._audit.entry(
            "ORDER_PAID_AGAIN",
            tenant_id=payment.tenant_id,
            subject=f"orders/{payment.order_id}/payments/{payment.id}",
            actor=RECORDER,
            after=payment,
        )
