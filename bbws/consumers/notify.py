"""Reads `customer-notify` and `internal-notify` (ORDER_CREATED, INVOICE_ISSUED); publishes nothing.

A repeat is harmless: each kind of mail is claimed per order before it is sent (`services/notifications.py`).
"""

from bbws.consumers.app import Consumer
from bbws.consumers.middlewares import bind_flow
from bbws.shared.contracts.events import InvoiceIssued, OrderCreated, OrderEvent
from bbws.shared.services.notifications import Audience


def register(consumer: Consumer) -> None:
    @consumer.subscriber("customer-notify")
    async def mail_customer(event: OrderEvent) -> None:
        await _confirm(consumer, event, "customer")

    @consumer.subscriber("internal-notify")
    async def mail_team(event: OrderEvent) -> None:
        await _confirm(consumer, event, "internal")


async def _confirm(consumer: Consumer, event: OrderCreated | InvoiceIssued, audience: Audience) -> None:
    bind_flow(event)
    if isinstance(event, OrderCreated):
        await consumer.services.notifications.confirm_order(event, audience)
    else:
        await consumer.services.notifications.confirm_payment(event, audience)
