"""Mails about orders: each kind once per order, as far as SES allows it (`core/mailing.py`).

An event says which order it is about; what is mailed is looked at as it stands, so that no event can sell anything.
"""

from functools import partial
from typing import Literal

from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.documents import OrderConfirmation, PaymentConfirmation
from bbws.shared.contracts.sales.invoices import Invoice, Seller
from bbws.shared.contracts.sales.order_events import InvoiceIssued, OrderCreated
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.core.mail_claims import mail_of_order
from bbws.shared.core.mailing import Content, Mail, Mailer
from bbws.shared.dynamo.database import Database
from bbws.shared.errors import NotFound
from bbws.shared.ids import derived_id
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.integrations.mail import ascii_address
from bbws.shared.logging import get_logger
from bbws.shared.sales.order_keys import order_url
from bbws.shared.sales.repositories.invoices import InvoiceRepository
from bbws.shared.sales.repositories.orders import OrderRepository, is_erased
from bbws.shared.sales.rules.paying import check_told
from bbws.shared.settings import Settings

Audience = Literal["customer", "internal"]

log = get_logger(__name__)


class Notifications:
    def __init__(
        self, database: Database, mailer: Mailer, settings: Settings, documents: DocumentStore, seller: Seller
    ) -> None:
        self._orders = OrderRepository(database)
        self._invoices = InvoiceRepository(database)
        self._mailer = mailer
        self._settings = settings
        self._documents = documents
        self._seller = seller

    async def confirm_order(self, event: OrderCreated, audience: Audience) -> None:
        """The order confirmation is sent; a repeat sends none.

        Raises MailUnderWay while another process is at it, NotFound for an order that BBWS never took, Conflict where
        the event contradicts the order.
        """
        told = event.data.order
        order = await self._orders.get(told.tenant_id, told.id)
        check_told(event, order)
        if is_erased(order):
            log.info("no order confirmation is mailed: the customer was erased", order_id=order.id)
            return
        context = OrderConfirmation(
            order=order, payment=event.data.payment, seller=self._seller, order_url=self._order_url(order)
        )
        await self._send_once(f"order_confirmation_{audience}", order, audience, context)

    async def confirm_payment(self, event: InvoiceIssued, audience: Audience) -> None:
        """The payment confirmation is sent with the invoice attached; otherwise as `confirm_order`.

        Raises NotFound where no such invoice was issued. Whether the order is PAID already says nothing: `order-record`
        may be behind.
        """
        invoice = await self._issued(event)
        order = invoice.order
        if is_erased(order):
            log.info("no payment confirmation is mailed: the customer was erased", order_id=order.id)
            return
        context = PaymentConfirmation(
            order=order,
            payment=invoice.payment,
            invoice_number=invoice.number,
            seller=self._seller,
            order_url=self._order_url(order),
        )
        key = invoice.document_key if audience == "customer" else invoice.internal_document_key
        await self._send_once(f"payment_confirmation_{audience}", order, audience, context, key)

    async def _issued(self, event: InvoiceIssued) -> Invoice:
        """The event leaves in the transaction that makes the invoice ISSUED: where it is not, the event is wrong."""
        told = event.data
        invoice = await self._invoices.find(told.order.tenant_id, told.order.id)
        if invoice is None or invoice.status != "ISSUED" or invoice.number != told.invoice_number:
            raise NotFound(f"order {told.order.id} has no issued invoice {told.invoice_number}")
        return invoice

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
