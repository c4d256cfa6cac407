"""What a genuine notice of PayFast makes of an order: a payment, and a paid order; and whether an event that tells of
them tells the truth."""

from datetime import datetime

from bbws.shared.contracts.sales.order_events import OrderCreated
from bbws.shared.contracts.sales.orders import Order, PaymentDetails
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.errors import Conflict
from bbws.shared.ids import new_id
from bbws.shared.integrations.payfast import Itn

# What is fixed when an order is placed. Who bought is not: it may be corrected, and a purge erases it.
_SOLD = ("items", "campaign", "subtotal_cents", "tax_cents", "total_cents", "vat_rate_percent", "currency")


def payment_of(order: Order, itn: Itn, *, by: str, at: datetime) -> Payment:
    return Payment(
        id=new_id(),
        order_id=order.id,
        tenant_id=order.tenant_id,
        amount_cents=itn.amount_gross_cents or 0,
        status="COMPLETED",
        payfast_id=itn.pf_payment_id,
        paid_at=at,
        date_created=at,
        date_last_updated=at,
        last_updated_by=by,
    )


def paid(order: Order, payment: Payment, *, by: str, at: datetime) -> Order:
    details = PaymentDetails(payment_id=payment.id, payfast_id=payment.payfast_id, paid_at=payment.paid_at or at)
    return order.changed(by=by, at=at, status="PAID", payment_details=details)


def statement_of(itn: Itn) -> str:
    """The same for every notice of the same thing; cancellations carry no pf_payment_id."""
    if itn.pf_payment_id:
        return f"{itn.pf_payment_id}|{itn.payment_status}"
    return f"{itn.m_payment_id}|{itn.token or ''}|{itn.billing_date or ''}|{itn.payment_status}"


def check_told(event: OrderCreated, order: Order) -> None:
    """Raises Conflict where ORDER_CREATED does not tell of this order, as it was placed, paid in full."""
    told, payment = event.data.order, event.data.payment
    wrong = [field for field in _SOLD if getattr(told, field) != getattr(order, field)]
    if {event.tenantid, told.tenant_id, payment.tenant_id} != {order.tenant_id}:
        wrong.append("tenant_id")
    if (told.id, payment.order_id) != (order.id, order.id):
        wrong.append("payment.order_id")
    if payment.status != "COMPLETED":
        wrong.append("payment.status")
    if payment.amount_cents != order.total_cents:
        wrong.append("payment.amount_cents")
    if wrong:
        raise Conflict(f"{event.type} contradicts order {order.id} in {', '.join(wrong)}")
