"""Mails about orders: each kind once per order, as far as SES allows it (`shared/mailing.py`)."""

from functools import partial
from typing import Literal

from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.documents import OrderConfirmation, PaymentConfirmation
from bbws.shared.contracts.sales.invoices import Seller
from bbws.shared.contracts.sales.order_events import InvoiceIssued, OrderCreated
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.core.mail_claims import mail_of_order
from bbws.shared.core.mailing import Content, Mail, Mailer
from bbws.shared.ids import derived_id
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.integrations.mail import ascii_address
from bbws.shared.sales.order_keys import order_url
from bbws.shared.settings import Settings

Audience = Literal["customer", "internal"]


class Notifications:
    def __init__(self, mailer: Mailer, settings: Settings, documents: DocumentStore, seller: Seller) -> None:
        self._mailer = mailer
        self._settings = settings
        self._documents = documents
        self._seller = seller

    async def confirm_order(self, event: OrderCreated, audience: Audience) -> None:
        """The order confirmation is sent; a repeat sends none. Raises MailUnderWay while another process is at it."""
        order = event.data.order
        context = OrderConfirmation(
            order=order, payment=event.data.payment, seller=self._seller, order_url=self._order_url(order)
        )
        await self._send_once(f"order_confirmation_{audience}", order, audience, context)

    async def confirm_payment(self, event: InvoiceIssued, audience: Audience) -> None:
        """The payment confirmation is sent with the invoice attached; otherwise as `confirm_order`."""
        data = event.data
        context = PaymentConfirmation(
            order=data.order,
            payment=data.payment,
            invoice_number=data.invoice_number,
            seller=self._seller,
            order_url=self._order_url(data.order),
        )
        key = data.document_key if audience == "customer" else data.internal_document_key
        await self._send_once(f"payment_confirmation_{audience}", data.order, audience, context, key)

    async def _send_once(
        self, kind: str, order: Order, audience: Audience, context: Contract, document_key: str | None = None
    ) -> None:
        mail = Mail(
            kind=kind,
            place=mail_of_order(order.tenant_id, order.id, kind),
            recipients=self._recipients(order, audience),
            # Mail programs must not fold the mails of an order into one thread and hide the invoice.
            headers={"X-Entity-Ref-ID": derived_id("mail", order.id, kind), "X-BBWS-Order": order.id},
            tags={"tenant": order.tenant_id, "kind": kind, "order": order.id},
        )
        await self._mailer.send_once(mail, partial(self._content, context, document_key))

    async def _content(self, context: Contract, document_key: str | None) -> Content:
        if document_key is None:
            return Content(context)
        name = document_key.rsplit("/", 1)[-1]
        return Content(context, {name: await self._documents.get(document_key)})

    def _recipients(self, order: Order, audience: Audience) -> tuple[str, ...]:
        if audience == "internal":
            return self._settings.mail_internal_recipients
        return (ascii_address(order.customer_email),)

    def _order_url(self, order: Order) -> str:
        return order_url(self._settings, order.tenant_id, order.id)
