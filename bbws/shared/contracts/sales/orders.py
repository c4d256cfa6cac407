"""An order: placed, paid, fulfilled. All amounts are fixed when it is placed."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from bbws.shared.contracts.base import Cents, Contract, Line, Record, Timestamp, Uuid
from bbws.shared.contracts.sales.campaigns import CampaignCode, CampaignSnapshot
from bbws.shared.contracts.sales.products import BillingCycle, Entitlements
from bbws.shared.contracts.tenancy.tenants import Email

OrderStatus = Literal["PENDING_PAYMENT", "PAID", "PROCESSING", "COMPLETED", "CANCELLED", "REFUNDED"]

MAX_ORDER_LINES = 20
MAX_QUANTITY = 1000
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY, strict=True)]


class BillingAddress(Contract):
    name: Annotated[Line, Field(max_length=120)]
    line1: Annotated[Line, Field(max_length=120)]
    line2: Annotated[Line, Field(max_length=120)] | None = None
    city: Annotated[Line, Field(max_length=80)]
    postal_code: Annotated[Line, Field(max_length=16)]
    country: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Z]{2}$")] = "ZA"
    vat_number: Annotated[str, StringConstraints(pattern=r"^4\d{9}$")] | None = None


class OrderLine(Contract):
    product_id: Uuid
    quantity: Quantity = 1


class OrderDraft(Contract):
    """`POST /v1.0/tenants/{tenantId}/orders`."""

    items: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=MAX_ORDER_LINES)]
    campaign_code: CampaignCode | None = None
    billing_address: BillingAddress
    customer_email: Email


class OrderItem(Contract):
    """`unitPriceCents`, `discountCents` and `totalCents` include VAT; `subtotalCents` is the line without it."""

    id: Uuid
    product_id: Uuid
    product_name: str
    billing_cycle: BillingCycle
    entitlements: Entitlements
    quantity: Quantity
    unit_price_cents: Cents
    discount_cents: Cents
    subtotal_cents: Cents
    tax_cents: Cents
    total_cents: Cents
    active: bool = True
    date_created: Timestamp
    date_last_updated: Timestamp
    last_updated_by: str

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.total_cents != self.unit_price_cents * self.quantity - self.discount_cents:
            raise ValueError("totalCents is not unitPriceCents × quantity − discountCents")
        if self.total_cents != self.subtotal_cents + self.tax_cents:
            raise ValueError("totalCents is not subtotalCents + taxCents")
        return self


class PaymentDetails(Contract):
    payment_id: Uuid
    payfast_id: str
    paid_at: Timestamp


class Order(Record):
    id: Uuid
    tenant_id: Uuid
    customer_email: Email
    status: OrderStatus = "PENDING_PAYMENT"
    items: Annotated[tuple[OrderItem, ...], Field(min_length=1, max_length=MAX_ORDER_LINES)]
    subtotal_cents: Cents
    tax_cents: Cents
    total_cents: Cents
    # 0 when the seller is not a VAT vendor.
    vat_rate_percent: Annotated[int, Field(ge=0, le=100)]
    currency: Literal["ZAR"] = "ZAR"
    campaign: CampaignSnapshot | None = None
    billing_address: BillingAddress
    payment_method: Literal["payfast"] = "payfast"
    payment_details: PaymentDetails | None = None
    cancellation_reason: str | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.total_cents != self.subtotal_cents + self.tax_cents:
            raise ValueError("totalCents is not subtotalCents + taxCents")
        # Written out: it runs for each order that is read.
        subtotal = tax = total = 0
        for item in self.items:
            subtotal += item.subtotal_cents
            tax += item.tax_cents
            total += item.total_cents
        for field, cents in (("subtotal_cents", subtotal), ("tax_cents", tax), ("total_cents", total)):
            if getattr(self, field) != cents:
                raise ValueError(f"{field} is not the sum of the items'")
        return self


class Checkout(Contract):
    """The form that takes a customer to PayFast: where it is posted, its fields in PayFast's order, signed."""

    url: str
    fields: tuple[tuple[str, str], ...]


TimelineKind = Literal[
    "ORDER_PLACED", "PAYMENT_NOTICE", "PAYMENT_NOTICE_REFUSED", "PAYMENT_CANCELLED", "ORDER_PAID", "INVOICE_NUMBERED",
    "INVOICE_ISSUED", "MAIL_SENT",
]  # fmt: skip


class TimelineEntry(Contract):
    """One thing that happened to an order, for its owner to see. `id` is stable: SSE uses it as Last-Event-ID."""

    id: str
    kind: TimelineKind
    at: Timestamp
    text: str
