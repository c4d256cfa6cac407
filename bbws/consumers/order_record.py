"""Reads `order-record` (ORDER_CREATED); publishes nothing.

A repeat is harmless: the payment is written where none of its id stands, in one transaction with the order's move to
PAID, which happens from PENDING_PAYMENT only.
"""

from bbws.consumers.app import Consumer
from bbws.shared.contracts.sales.order_events import OrderCreated


def register(consumer: Consumer) -> None:
    @consumer.subscriber("order-record")
    async def record_payment(event: OrderCreated) -> None:
        await consumer.services.payments.record(event)
