"""What a genuine notice of PayFast makes of an order: a payment, and a paid order."""

from datetime import datetime

from bbws.shared.contracts.sales.orders import Order, PaymentDetails
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.ids import new_id
from bbws.shared.integrations.payfast import Itn


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
    details = PaymentDetails(payment_id=payment.id, payfast_id=payment.payfast_id, paid_at=at)
    return order.changed(by=by, at=at, status="PAID", payment_details=details)


def statement_of(itn: Itn) -> str:
    """The same for every notice of the same thing; cancellations carry no pf_payment_id."""
    if itn.pf_payment_id:
        return f"{itn.pf_payment_id}|{itn.payment_status}"
    return f"{itn.m_payment_id}|{itn.token or ''}|{itn.billing_date or ''}|{itn.payment_status}"
