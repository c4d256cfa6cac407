"""Mails about orders: each kind once per order, as far as SES allows it (C-38).

`EMAIL#{kind}` is claimed with a lease before SES is asked, and marked SENT after. SES knows no idempotency key, so a
crash in the moment between SES's answer and our mark sends the mail again once the lease has ended: at least once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from typing import Literal

from bbws.shared.clock import Clock
from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.documents import OrderConfirmation, PaymentConfirmation
from bbws.shared.contracts.events import InvoiceIssued, OrderCreated
from bbws.shared.contracts.invoices import Seller
from bbws.shared.contracts.orders import Order
from bbws.shared.dynamo.database import Database
from bbws.shared.errors import BbwsError, NotYet
from bbws.shared.ids import derived_id
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.integrations.mail import MailTransport, MailUnsure, ascii_address, literal_header
from bbws.shared.logging import get_logger
from bbws.shared.order_keys import order_url
from bbws.shared.repositories.mails import MailRepository
from bbws.shared.settings import Settings
from bbws.shared.templating import Templates

Audience = Literal["customer", "internal"]

log = get_logger(__name__)


class MailUnderWay(NotYet):
    """Another process is sending this mail, or died over it; after `retry_after_s` the lease has ended."""


@dataclass(frozen=True, slots=True)
class _Mail:
    kind: str
    order: Order
    recipients: tuple[str, ...]
    context: Contract
    attachments: Mapping[str, str]

    @property
    def template(self) -> str:
        return f"notifications/{self.kind}.html"


class Notifications:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        templates: Templates,
        documents: DocumentStore,
        transport: MailTransport,
        seller: Seller,
    ) -> None:
        self._mails = MailRepository(database)
        self._clock = clock
        self._settings = settings
        self._templates = templates
        self._documents = documents
        self._transport = transport
        self._seller = seller

    async def confirm_order(self, event: OrderCreated, audience: Audience) -> None:
        """The order confirmation is sent; a repeat sends none. Raises MailUnderWay while another process is at it."""
        order = event.data.order
        context = OrderConfirmation(
            order=order, payment=event.data.payment, seller=self._seller, order_url=self._order_url(order)
        )
        await self._send_once(
            _Mail(f"order_confirmation_{audience}", order, self._recipients(order, audience), context, {})
        )

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
        attachments = {key.rsplit("/", 1)[-1]: key}
        recipients = self._recipients(data.order, audience)
        await self._send_once(_Mail(f"payment_confirmation_{audience}", data.order, recipients, context, attachments))

    async def _send_once(self, mail: _Mail) -> None:
        place = (mail.order.tenant_id, mail.order.id, mail.kind)
        now = self._clock()
        lease_until = now + timedelta(seconds=self._settings.mail_lease_s)
        if not await self._mails.claim(*place, now=now, lease_until=lease_until):
            return await self._leave_to_the_other(place)
        try:
            message_id = await self._transport.send(await self._composed(mail), tags=_tags(mail))
        except MailUnsure:
            # SES may have it: only when the lease has ended it is sent again.
            raise
        except BbwsError:
            # Nothing was sent: whoever comes next need not wait for the lease to end.
            await self._mails.release(*place, now=self._clock(), lease_until=lease_until)
            raise
        sent_to = ", ".join(mail.recipients)
        await self._mails.sent(*place, message_id=message_id, recipients=sent_to, now=self._clock())
        log.info("mail sent", kind=mail.kind, order_id=mail.order.id, ses_message_id=message_id)
        return None

    async def _leave_to_the_other(self, place: tuple[str, str, str]) -> None:
        record = await self._mails.find(*place)
        if record is None or not record.sent:
            wait_s = self._settings.mail_lease_s if record is None else record.lease_left_s(self._clock())
            raise MailUnderWay(f"{place[2]} is being sent by another process", max(wait_s, 1))

    async def _composed(self, mail: _Mail) -> EmailMessage:
        text = await self._templates.render_mail(mail.template, mail.context)
        message = EmailMessage(policy=SMTP)
        message["From"] = self._settings.mail_from
        message["To"] = ", ".join(mail.recipients)
        message["Subject"] = literal_header(text.subject)
        message["Auto-Submitted"] = "auto-generated"
        # Mail programs must not fold the mails of an order into one thread and hide the invoice.
        message["X-Entity-Ref-ID"] = derived_id("mail", mail.order.id, mail.kind)
        message["X-BBWS-Order"] = mail.order.id
        message["X-BBWS-Mail"] = mail.kind
        message.set_content(text.text)
        message.add_alternative(text.html, subtype="html")
        for name, key in mail.attachments.items():
            content = await self._documents.get(key)
            message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
        return message

    def _recipients(self, order: Order, audience: Audience) -> tuple[str, ...]:
        if audience == "internal":
            return self._settings.mail_internal_recipients
        return (ascii_address(order.customer_email),)

    def _order_url(self, order: Order) -> str:
        return order_url(self._settings, order.tenant_id, order.id)


def _tags(mail: _Mail) -> dict[str, str]:
    return {"tenant": mail.order.tenant_id, "kind": mail.kind, "order": mail.order.id}
