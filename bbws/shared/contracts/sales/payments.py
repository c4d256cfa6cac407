"""What was paid for an order."""

from typing import Literal

from bbws.shared.contracts.base import Cents, Record, Timestamp, Uuid

PaymentStatus = Literal["PENDING", "COMPLETED", "FAILED", "REFUNDED"]


class Payment(Record):
    id: Uuid
    order_id: Uuid
    tenant_id: Uuid
    amount_cents: Cents
    status: PaymentStatus
    payfast_id: str
    paid_at: Timestamp | None = None
