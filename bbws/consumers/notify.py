"""Reads `customer-notify` and `internal-notify` (ORDER_CREATED, INVOICE_ISSUED), and from the first also
REGISTRATION_REQUESTED; publishes nothing.

A repeat is harmless: each mail is claimed, per order and kind or per event, before it is sent (`shared/mailing.py`).
"""

from bbws.consumers.app import Consumer
from bbws.shared.contracts.events import CustomerEvent, OrderEvent
from bbws.shared.contracts.sales.order_events import InvoiceIssued, OrderCreated
from bbws.shared.contracts.tenancy.tenant_events import RegistrationRequested
from bbws.shared.sales.services.notifications import Audience


def register(consumer: Consumer) -> None:
    @consumer.subscriber("customer-notify")
    async def mail_customer(event: CustomerEvent) -> None:
        if isinstance(event, RegistrationRequested):
            await consumer.services.registrations.mail_link(event)
        else:
            await _confirm(consumer, event, "customer")

    @consumer.subscriber("internal-notify")
    async def mail_team(event: OrderEvent) -> None:
        await _confirm(consumer, event, "internal")


async def _confirm(consumer: Consumer, event: OrderCreated | InvoiceIssued, audience: Audience) -> None:
    if isinstance(event, OrderCreated):
        await consumer.services.notifications.confirm_order(event, audience)
    else:
        await consumer.services.notifications.confirm_payment(event, audience)
