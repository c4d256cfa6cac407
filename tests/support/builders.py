"""Values that tests start from: sensible defaults, every field open to a keyword, ids new on every call."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from bbws.shared.clock import business_date
from bbws.shared.contracts.money import Money, vat_rate_percent
from bbws.shared.contracts.sales.campaigns import Campaign, CampaignSnapshot
from bbws.shared.contracts.sales.invoices import Invoice, Seller, invoice_number
from bbws.shared.contracts.sales.order_events import InvoiceIssued, InvoiceIssuedData, OrderCreated, OrderCreatedData
from bbws.shared.contracts.sales.orders import BillingAddress, Order, OrderItem, PaymentDetails
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.contracts.sales.products import Entitlements, Product
from bbws.shared.contracts.tenancy.tenant_events import (
    RegistrationData,
    RegistrationRequested,
    TenantCreated,
    TenantData,
)
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.ids import new_id

PLACED_AT = datetime(2026, 11, 21, 17, 30, tzinfo=UTC)
PAID_AT = datetime(2026, 11, 21, 17, 34, 12, tzinfo=UTC)


def a_product(**fields: Any) -> Product:
    defaults: dict[str, Any] = {
        "id": new_id(),
        "name": "WordPress Business",
        "description": "Managed WordPress for a company: daily backups, staging, support.",
        "price_cents": 249_00,
        "features": ("3 sites", "50 GB storage", "Daily backups"),
        "billing_cycle": "monthly",
        "entitlements": Entitlements(sites=3, storage_gb=50, plugins=20, environments=2),
    }
    return Product(**{**defaults, **_record(PLACED_AT, "operator@bbws.example"), **fields})


def a_campaign(product: Product | None = None, **fields: Any) -> Campaign:
    """Ten per cent off `product` throughout November 2026."""
    defaults: dict[str, Any] = {
        "id": new_id(),
        "code": "SUMMER10",
        "description": "Ten per cent off in November",
        "discount_percentage": Decimal(10),
        "product_id": product.id if product else new_id(),
        "terms_conditions_link": "https://bbws.example/terms/summer10",
        "from_date": date(2026, 11, 1),
        "to_date": date(2026, 11, 30),
    }
    return Campaign(**{**defaults, **_record(PLACED_AT, "operator@bbws.example"), **fields})


def a_snapshot(campaign: Campaign) -> CampaignSnapshot:
    return CampaignSnapshot(**{name: getattr(campaign, name) for name in CampaignSnapshot.model_fields})


def a_tenant(**fields: Any) -> Tenant:
    tenant_id = fields.pop("id", None) or new_id()
    defaults: dict[str, Any] = {
        "id": tenant_id,
        "email": f"owner+{tenant_id[-8:]}@protea.example",
        "organization_name": f"Protea Bakery {tenant_id[-8:]}",
    }
    return Tenant(**{**defaults, **_record(PLACED_AT, "registration"), **fields})


def a_seller(**fields: Any) -> Seller:
    """A VAT vendor; `vat_number=None` makes a seller who is not."""
    defaults: dict[str, Any] = {
        "name": "BBWS Hosting (Pty) Ltd",
        "address": ("12 Loop Street", "Cape Town", "8001", "South Africa"),
        "vat_number": "4123456789",
        "email": "accounts@bbws.example",
    }
    return Seller(**{**defaults, **fields})


def a_billing_address(**fields: Any) -> BillingAddress:
    defaults: dict[str, Any] = {
        "name": "Thandi Nkosi",
        "line1": "4 Jan Smuts Avenue",
        "city": "Johannesburg",
        "postal_code": "2196",
    }
    return BillingAddress(**{**defaults, **fields})


def an_item(
    product: Product | None = None, *, quantity: int = 1, discount_percentage: Decimal | int = 0, vat: int = 15
) -> OrderItem:
    """A line of `quantity` products, priced as C-26 says; `vat` in per cent, 0 for a seller who is no vendor."""
    product = product or a_product()
    gross = Money(product.price_cents) * quantity
    discount = gross.percent(discount_percentage)
    total = gross - discount
    tax = total.vat_included(vat)
    return OrderItem(
        id=new_id(),
        product_id=product.id,
        product_name=product.name,
        billing_cycle=product.billing_cycle,
        entitlements=product.entitlements,
        quantity=quantity,
        unit_price_cents=product.price_cents,
        discount_cents=discount.cents,
        subtotal_cents=(total - tax).cents,
        tax_cents=tax.cents,
        total_cents=total.cents,
        date_created=PLACED_AT,
        date_last_updated=PLACED_AT,
        last_updated_by="customer",
    )


def an_order(*items: OrderItem, **fields: Any) -> Order:
    """A placed order that waits for its payment; without `items` one month of WordPress Business."""
    items = items or (an_item(),)
    defaults: dict[str, Any] = {
        "id": new_id(),
        "tenant_id": new_id(),
        "customer_email": "thandi@protea.example",
        "items": items,
        "subtotal_cents": sum(item.subtotal_cents for item in items),
        "tax_cents": sum(item.tax_cents for item in items),
        "total_cents": sum(item.total_cents for item in items),
        "vat_rate_percent": vat_rate_percent(business_date(PLACED_AT)),
        "billing_address": a_billing_address(),
    }
    return Order(**{**defaults, **_record(PLACED_AT, "customer"), **fields})


def a_paid_order(*items: OrderItem, **fields: Any) -> Order:
    details = PaymentDetails(payment_id=new_id(), payfast_id="1089250", paid_at=PAID_AT)
    return an_order(*items, **{"status": "PAID", "payment_details": details, "version": 2, **fields})


def a_payment(order: Order, **fields: Any) -> Payment:
    """The completed payment of a paid order, or the one that would pay a placed order."""
    details = order.payment_details
    defaults: dict[str, Any] = {
        "id": details.payment_id if details else new_id(),
        "order_id": order.id,
        "tenant_id": order.tenant_id,
        "amount_cents": order.total_cents,
        "status": "COMPLETED",
        "payfast_id": details.payfast_id if details else "1089250",
        "paid_at": details.paid_at if details else PAID_AT,
    }
    return Payment(**{**defaults, **_record(PAID_AT, "payfast"), **fields})


def an_invoice(order: Order | None = None, **fields: Any) -> Invoice:
    order = order or a_paid_order()
    number = fields.pop("number", invoice_number(42))
    folder = f"tenants/{order.tenant_id}/orders/{order.id}"
    defaults: dict[str, Any] = {
        "number": number,
        "issue_date": business_date(PAID_AT),
        "tenant_id": order.tenant_id,
        "order_id": order.id,
        "total_cents": order.total_cents,
        "seller": a_seller(),
        "order": order,
        "payment": a_payment(order),
        "template_versions": {},
        "document_key": f"{folder}/{number}.pdf",
        "internal_document_key": f"{folder}/{number}-internal.pdf",
    }
    return Invoice(**{**defaults, **_record(PAID_AT, "order-pdf"), **fields})


def order_created(order: Order | None = None, payment: Payment | None = None, **fields: Any) -> OrderCreated:
    """The event of a paid order; `fields` are those of `Envelope.of`, `event_id` among them."""
    order = order or a_paid_order()
    data = OrderCreatedData(order=order, payment=payment or a_payment(order))
    return OrderCreated.of(data, **{**_envelope(order), **fields})


def invoice_issued(invoice: Invoice | None = None, **fields: Any) -> InvoiceIssued:
    """The event of a stored invoice; `fields` are those of `Envelope.of`, `event_id` among them."""
    invoice = invoice or an_invoice()
    data = InvoiceIssuedData(
        invoice_number=invoice.number,
        document_key=invoice.document_key,
        internal_document_key=invoice.internal_document_key,
        order=invoice.order,
        payment=invoice.payment,
    )
    return InvoiceIssued.of(data, **{**_envelope(invoice.order), **fields})


def tenant_created(tenant: Tenant | None = None) -> TenantCreated:
    tenant = tenant or a_tenant()
    return TenantCreated.of(TenantData(tenant=tenant), **_envelope_of(tenant))


def registration_requested(tenant: Tenant | None = None, **fields: Any) -> RegistrationRequested:
    """The event that has a link mailed to the tenant's own address; `fields` are those of its data."""
    tenant = tenant or a_tenant()
    asked = {"email": tenant.email, "purpose": "REGISTRATION", "organization_name": tenant.organization_name}
    return RegistrationRequested.of(RegistrationData.model_validate({**asked, **fields}), **_envelope_of(tenant))


def _record(moment: datetime, by: str) -> dict[str, Any]:
    return {"date_created": moment, "date_last_updated": moment, "last_updated_by": by}


def _envelope(order: Order) -> dict[str, Any]:
    return {"tenant_id": order.tenant_id, "time": PAID_AT, "correlation_id": order.id}


def _envelope_of(tenant: Tenant) -> dict[str, Any]:
    return {"tenant_id": tenant.id, "time": PLACED_AT, "correlation_id": tenant.id}
