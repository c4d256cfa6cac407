"""One context for each of the twelve templates, made of one order."""

from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.documents import (
    DOCUMENTS,
    InvoiceDocument,
    OrderConfirmation,
    OrderDocument,
    PaymentConfirmation,
    ReceiptDocument,
    SiteCreation,
)
from bbws.shared.contracts.invoices import Seller
from bbws.shared.contracts.orders import Order
from tests.support.builders import a_paid_order, a_payment, a_seller, an_invoice

NOTIFICATIONS = [name for name in DOCUMENTS if name.startswith("notifications/")]
PAPERS = [name for name in DOCUMENTS if name not in NOTIFICATIONS]


def a_context(name: str, order: Order | None = None, seller: Seller | None = None) -> Contract:
    order, seller = order or a_paid_order(), seller or a_seller()
    payment, order_url = a_payment(order), f"https://bbws.example/orders/{order.id}"
    contexts: dict[type[Contract], Contract] = {
        OrderDocument: OrderDocument(order=order, seller=seller, order_url=order_url),
        ReceiptDocument: ReceiptDocument(order=order, payment=payment, seller=seller),
        InvoiceDocument: InvoiceDocument(invoice=an_invoice(order, seller=seller)),
        OrderConfirmation: OrderConfirmation(order=order, payment=payment, seller=seller, order_url=order_url),
        PaymentConfirmation: PaymentConfirmation(
            order=order, payment=payment, seller=seller, order_url=order_url, invoice_number="INV-000042"
        ),
        SiteCreation: a_site_creation(order.billing_address.name, seller),
    }
    return contexts[DOCUMENTS[name]]


def a_site_creation(organization_name: str, seller: Seller) -> SiteCreation:
    return SiteCreation(
        site_name="Protea Shop",
        site_url="https://shop.protea.example",
        login_url="https://shop.protea.example/wp-login.php",
        organization_name=organization_name,
        customer_email="thandi@protea.example",
        seller=seller,
    )
