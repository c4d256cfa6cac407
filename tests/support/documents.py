"""One context for each template of a document, made of one order."""

from typing import Any

from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.documents import (
    DOCUMENTS,
    InvoiceDocument,
    OrderConfirmation,
    OrderDocument,
    PaymentConfirmation,
    ReceiptDocument,
    RegistrationMail,
    SiteCreation,
)
from bbws.shared.contracts.sales.invoices import Seller
from bbws.shared.contracts.sales.orders import Order
from tests.support.builders import PLACED_AT, a_paid_order, a_payment, a_seller, an_invoice

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
        RegistrationMail: a_registration_mail(seller, organization_name=order.billing_address.name),
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


def a_registration_mail(seller: Seller, **fields: Any) -> RegistrationMail:
    """An invitation, unless `situation` says otherwise."""
    situation = fields.get("situation", "INVITED")
    defaults: dict[str, Any] = {
        "situation": situation,
        "email": "thandi@protea.example",
        "organization_name": "Protea & Sons" if situation == "INVITED" else None,
        "organization_is_taken": False,
        "link_url": f"https://bbws.example/registration?token={'t' * 43}",
        "valid_until": PLACED_AT,
        "seller": seller,
    }
    return RegistrationMail(**{**defaults, **fields})
