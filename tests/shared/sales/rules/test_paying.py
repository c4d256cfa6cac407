"""What a genuine notice makes of an order."""

from typing import Any

import pytest

from bbws.shared.integrations.payfast import Itn, parse_itn
from bbws.shared.sales.rules.paying import paid, payment_of, statement_of
from tests.support.builders import PAID_AT, an_order
from tests.support.payfast import signed


def _itn(**fields: Any) -> Itn:
    said = {
        "m_payment_id": "order-1",
        "payment_status": "COMPLETE",
        "merchant_id": "10000100",
        "amount_gross": "249.00",
    }
    return parse_itn(signed({**said, **fields}))


@pytest.mark.parametrize(
    ("fields", "statement"),
    [
        ({"pf_payment_id": "1089250"}, "1089250|COMPLETE"),
        ({"pf_payment_id": "1089250", "token": "t", "billing_date": "2027-01-01"}, "1089250|COMPLETE"),
        ({"payment_status": "CANCELLED"}, "order-1|||CANCELLED"),
        ({"token": "t", "billing_date": "2027-01-01"}, "order-1|t|2027-01-01|COMPLETE"),
    ],
)
def test_what_a_notice_states_is_written_as_it_always_was(fields: dict[str, str], statement: str) -> None:
    """The guards of all payments stand under it: written otherwise, each of them would count once more."""
    assert statement_of(_itn(**fields)) == statement


def test_a_payment_is_what_payfast_took_for_the_order() -> None:
    """The gross amount, as PayFast names it; its fee is no discount of the customer's."""
    order = an_order()
    itn = _itn(pf_payment_id="1089250", amount_fee="-6.59", amount_net="242.41")
    payment = payment_of(order, itn, by="test", at=PAID_AT)
    assert (payment.amount_cents, payment.status, payment.payfast_id) == (249_00, "COMPLETED", "1089250")
    assert (payment.order_id, payment.tenant_id, payment.paid_at) == (order.id, order.tenant_id, PAID_AT)


def test_a_paid_order_is_the_next_version_of_the_order_that_was_placed() -> None:
    """Its amounts stay; what it says of its payment is that of the payment."""
    order = an_order()
    payment = payment_of(order, _itn(pf_payment_id="1089250"), by="test", at=PAID_AT)
    after = paid(order, payment, by="test", at=PAID_AT)
    assert (after.status, after.version, after.total_cents) == ("PAID", order.version + 1, order.total_cents)
    assert after.payment_details is not None
    assert after.payment_details.payment_id == payment.id
