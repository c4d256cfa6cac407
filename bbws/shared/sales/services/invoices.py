"""Tax invoices: numbered without gaps, rendered the same each time, stored once, announced (SARS: domain facts 6)."""

import asyncio
import random
from typing import Any

from bbws.shared.clock import Clock, business_date
from bbws.shared.contracts.documents import InvoiceDocument
from bbws.shared.contracts.sales.invoices import Invoice, Seller, invoice_number
from bbws.shared.contracts.sales.order_events import InvoiceIssued, InvoiceIssuedData, OrderCreated
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.errors import NotFound, Unavailable
from bbws.shared.ids import derived_id
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.integrations.pdf import PdfRenderer
from bbws.shared.logging import get_logger
from bbws.shared.sales.repositories.invoices import (
    InvoiceIssuedBefore,
    InvoiceRepository,
    NumberTaken,
    OrderInvoiced,
)
from bbws.shared.sales.repositories.orders import OrderRepository
from bbws.shared.sales.rules import paying
from bbws.shared.templating import Templates

ISSUER = "order-pdf"
TEMPLATE = "invoices/invoice.html"
INTERNAL_TEMPLATE = "invoices/invoice_internal.html"
# Processes that number at the same moment take turns; this many turns are more than any realistic burst needs.
_NUMBERING_TRIES = 50
_NUMBERING_PAUSE_S = 0.02

log = get_logger(__name__)


class Invoices:
    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        audit: AuditEntries,
        clock: Clock,
        templates: Templates,
        pdf: PdfRenderer,
        documents: DocumentStore,
        seller: Seller,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._audit = audit
        self._clock = clock
        self._templates = templates
        self._pdf = pdf
        self._documents = documents
        self._seller = seller
        self._invoices = InvoiceRepository(database)
        self._orders = OrderRepository(database)
        self._numbering = asyncio.Lock()

    async def get(self, tenant_id: str, order_id: str) -> Invoice:
        invoice = await self._invoices.find(tenant_id, order_id)
        if invoice is None or invoice.status != "ISSUED":
            raise NotFound(f"order {order_id} has no invoice yet; it comes with the payment")
        return invoice

    async def link(self, invoice: Invoice) -> str:
        """A presigned address of the PDF, good for 15 minutes."""
        return await self._documents.link(invoice.document_key, f"{invoice.number}.pdf")

    async def pdf(self, tenant_id: str, order_id: str) -> bytes:
        """The stored PDF. Raises NotFound before it is issued."""
        invoice = await self.get(tenant_id, order_id)
        return await self._documents.get(invoice.document_key)

    async def issue(self, event: OrderCreated) -> Invoice:
        """The paid order has its invoice, in the bucket and announced; a repeat changes nothing.

        Raises NotFound for an order that BBWS never took, Conflict where the event contradicts the order.
        Each step finds what an earlier try left: the number, then the PDFs (the same bytes again), then the event.
        """
        order = event.data.order
        invoice = await self._invoices.find(order.tenant_id, order.id) or await self._number(event)
        if invoice.status == "ISSUED":
            return invoice
        await asyncio.gather(
            self._store(invoice, TEMPLATE, invoice.document_key),
            self._store(invoice, INTERNAL_TEMPLATE, invoice.internal_document_key),
        )
        return await self._announce(invoice, event)

    async def _number(self, event: OrderCreated) -> Invoice:
        told = event.data.order
        # An order is stored before anybody can pay it: where none stands, the event is wrong, not early.
        order = await self._orders.get(told.tenant_id, told.id)
        paying.check_told(event, order)
        versions = await self._templates.pin(TEMPLATE) | await self._templates.pin(INTERNAL_TEMPLATE)
        for _ in range(_NUMBERING_TRIES):
            # One at a time within this process; other processes are met by the counter's condition.
            async with self._numbering:
                serial = await self._invoices.last_serial() + 1
                invoice = self._new(order, event.data.payment, serial, versions)
                entry = self._entry("INVOICE_NUMBERED", None, invoice, event)
                try:
                    await self._database.transact([*self._invoices.new(invoice, serial), entry])
                except OrderInvoiced:
                    return await self._standing(order.tenant_id, order.id)
                except NumberTaken:
                    await asyncio.sleep(random.uniform(0, _NUMBERING_PAUSE_S))  # noqa: S311 - jitter
                else:
                    log.info("invoice numbered", number=invoice.number, order_id=order.id)
                    return invoice
        raise Unavailable("dynamodb", "the invoice counter is changed by too many at once")

    async def _standing(self, tenant_id: str, order_id: str) -> Invoice:
        invoice = await self._invoices.find(tenant_id, order_id)
        assert invoice is not None, "an invoiced order has an invoice"
        return invoice

    def _new(self, order: Order, payment: Payment, serial: int, versions: dict[str, str]) -> Invoice:
        """For whom the order names as it stands, whatever address an event may tell."""
        now = self._clock()
        if order.status == "PENDING_PAYMENT":  # `order-record` is behind.
            order = paying.paid(order, payment, by=ISSUER, at=now)
        number = invoice_number(serial)
        folder = f"tenants/{order.tenant_id}/orders/{order.id}"
        return Invoice(
            number=number,
            issue_date=business_date(now),
            tenant_id=order.tenant_id,
            order_id=order.id,
            total_cents=order.total_cents,
            seller=self._seller,
            order=order,
            payment=payment,
            template_versions=versions,
            document_key=f"{folder}/{number}.pdf",
            internal_document_key=f"{folder}/{number}-internal.pdf",
            date_created=now,
            date_last_updated=now,
            last_updated_by=ISSUER,
        )

    async def _store(self, invoice: Invoice, template: str, key: str) -> None:
        # What is pinned is the invoice as it was numbered; `status` and dates of today must not reach the page.
        html = await self._templates.render(template, InvoiceDocument(invoice=invoice), invoice.template_versions)
        content = await self._pdf.render(html, title=f"Invoice {invoice.number}", created=invoice.date_created)
        await self._documents.put_once(key, content, "application/pdf")

    async def _announce(self, invoice: Invoice, cause: OrderCreated) -> Invoice:
        now = self._clock()
        issued = invoice.changed(by=ISSUER, at=now, status="ISSUED")
        data = InvoiceIssuedData(
            invoice_number=issued.number,
            document_key=issued.document_key,
            internal_document_key=issued.internal_document_key,
            order=issued.order,
            payment=issued.payment,
        )
        event = InvoiceIssued.of(
            data,
            tenant_id=issued.tenant_id,
            time=now,
            correlation_id=cause.correlationid,
            event_id=derived_id(InvoiceIssued.TYPE, issued.number),
            causation_id=cause.id,
            traceparent=cause.traceparent,
        )
        entry = self._entry("INVOICE_ISSUED", invoice, issued, cause)
        try:
            await self._outbox.commit([self._invoices.issued(issued), entry], [event])
        except InvoiceIssuedBefore:
            return await self._standing(issued.tenant_id, issued.order_id)
        log.info("invoice issued", number=issued.number, order_id=issued.order_id)
        return issued

    def _entry(self, action: str, before: Invoice | None, after: Invoice, cause: OrderCreated) -> Put:
        return self._audit.entry(
            action,
            tenant_id=after.tenant_id,
            subject=f"orders/{after.order_id}/invoices/{after.number}",
            actor=ISSUER,
            before=before and _own(before),
            after=_own(after),
            correlation_id=cause.correlationid,
        )


def _own(invoice: Invoice) -> dict[str, Any]:
    """What is the invoice's own; order, payment and seller are told elsewhere."""
    return invoice.model_dump(mode="json", exclude_none=True, exclude={"order", "payment", "seller"})
