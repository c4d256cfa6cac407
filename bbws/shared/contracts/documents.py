"""Every document, and what its template may ask for: any other name in a template is an error."""

from typing import Literal

from bbws.shared.contracts.base import Contract, Timestamp
from bbws.shared.contracts.sales.invoices import Invoice, InvoiceNumber, Seller
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.contracts.tenancy.tenants import Email


class OrderDocument(Contract):
    """The printable order, paid or not."""

    order: Order
    seller: Seller
    order_url: str


class ReceiptDocument(Contract):
    """The printable proof of payment; not a tax invoice."""

    order: Order
    payment: Payment
    seller: Seller


class InvoiceDocument(Contract):
    """`is_copy` marks a second print: there is one original per supply (VAT Act, section 20)."""

    invoice: Invoice
    is_copy: bool = False


class OrderConfirmation(Contract):
    order: Order
    payment: Payment
    seller: Seller
    order_url: str


class PaymentConfirmation(Contract):
    order: Order
    payment: Payment
    invoice_number: InvoiceNumber
    seller: Seller
    order_url: str


class SiteCreation(Contract):
    site_name: str
    site_url: str
    login_url: str
    organization_name: str
    customer_email: Email
    seller: Seller


Situation = Literal["NEW", "KNOWN", "INVITED"]


class RegistrationMail(Contract):
    """`organization_name` is given to who is invited only: what an unknown person typed is not mailed to anybody.

    `organization_is_taken`: the name that was asked for belongs to another tenant.
    """

    situation: Situation
    email: Email
    organization_name: str | None
    organization_is_taken: bool
    link_url: str
    valid_until: Timestamp
    seller: Seller


DOCUMENTS: dict[str, type[Contract]] = {
    "receipts/receipt.html": ReceiptDocument,
    "receipts/receipt_internal.html": ReceiptDocument,
    "receipts/order.html": OrderDocument,
    "receipts/order_internal.html": OrderDocument,
    "notifications/order_confirmation_customer.html": OrderConfirmation,
    "notifications/order_confirmation_internal.html": OrderConfirmation,
    "notifications/payment_confirmation_customer.html": PaymentConfirmation,
    "notifications/payment_confirmation_internal.html": PaymentConfirmation,
    "notifications/site_creation_customer.html": SiteCreation,
    "notifications/site_creation_internal.html": SiteCreation,
    "notifications/registration_customer.html": RegistrationMail,
    "invoices/invoice.html": InvoiceDocument,
    "invoices/invoice_internal.html": InvoiceDocument,
}
