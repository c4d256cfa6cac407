"""What is told of orders: paid, and invoiced."""

from typing import Literal

from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.sales.invoices import InvoiceNumber
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.payments import Payment

PAYMENT_SOURCE = "bbws.payment"


class OrderCreatedData(Contract):
    """The paid order with its payment, whole: no consumer needs to wait for another, or to read the table."""

    order: Order
    payment: Payment


class OrderCreated(Envelope):
    TYPE = "ORDER_CREATED"
    SOURCE = PAYMENT_SOURCE

    type: Literal["ORDER_CREATED"] = "ORDER_CREATED"
    source: Literal["bbws.payment"] = "bbws.payment"
    dataschema: Literal["urn:bbws:event:ORDER_CREATED:1"] = "urn:bbws:event:ORDER_CREATED:1"
    data: OrderCreatedData


class InvoiceIssuedData(Contract):
    """Where the PDFs are in the documents bucket, and what the payment confirmation needs besides."""

    invoice_number: InvoiceNumber
    document_key: str
    internal_document_key: str
    order: Order
    payment: Payment


class InvoiceIssued(Envelope):
    TYPE = "INVOICE_ISSUED"
    SOURCE = PAYMENT_SOURCE

    type: Literal["INVOICE_ISSUED"] = "INVOICE_ISSUED"
    source: Literal["bbws.payment"] = "bbws.payment"
    dataschema: Literal["urn:bbws:event:INVOICE_ISSUED:1"] = "urn:bbws:event:INVOICE_ISSUED:1"
    data: InvoiceIssuedData


ORDER_EVENTS: tuple[type[Envelope], ...] = (OrderCreated, InvoiceIssued)
