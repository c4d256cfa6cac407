"""Reads `order-pdf` (ORDER_CREATED); publishes INVOICE_ISSUED.

A repeat is harmless: an order has one invoice (a guard item in the transaction that takes the number), the PDF is the
same bytes each time and written only where none stands, and INVOICE_ISSUED leaves with the step to ISSUED.
"""

from bbws.consumers.app import Consumer
from bbws.shared.contracts.sales.order_events import OrderCreated


def register(consumer: Consumer) -> None:
    consumer.draws_pdfs = True

    @consumer.subscriber("order-pdf")
    async def issue_invoice(event: OrderCreated) -> None:
        await consumer.services.invoices.issue(event)
