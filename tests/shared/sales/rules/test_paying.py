"""What a genuine notice makes of an order."""

from typing import Any

import pytest

from bbws.shared.contracts.sales.orders import OrderItem
from bbws.shared.errors import Conflict
from bbws.shared.ids import new_id
from bbws.shared.integrations.payfast import Itn, parse_itn
from bbws.shared.sales.rules.paying import check_told, paid, payment_of, statement_of
from tests.support.builders import PAID_AT, a_billing_address, a_paid_order, an_item, an_order, order_created
from tests.support.payfast import signed


def _sums(item: OrderItem) -> dict[str, int]:
    return {name: getattr(item, name) for name in ("subtotal_cents", "tax_cents", "total_cents")}


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


def test_an_event_may_know_another_buyer_than_the_order() -> None:
    """An address was corrected, or a purge erased it: what was sold is still what was sold."""
    order = a_paid_order()
    now = order.replace(customer_email="new@protea.example", billing_address=a_billing_address(name="erased"))
    check_told(order_created(order), now.replace(status="PENDING_PAYMENT", payment_details=None, version=1))


@pytest.mark.parametrize(
    ("told", "payment", "wrong"),
    [
        ({}, {"amount_cents": 1}, "payment.amount_cents"),
        ({}, {"status": "FAILED"}, "payment.status"),
        ({}, {"order_id": new_id()}, "payment.order_id"),
        ({}, {"tenant_id": new_id()}, "tenant_id"),
        ({"tenant_id": new_id()}, {}, "tenant_id"),
        ({"vat_rate_percent": 14}, {}, "vat_rate_percent"),
        ({"items": (cheap := an_item(vat=0),), **_sums(cheap)}, {}, "items, subtotal_cents, tax_cents"),
    ],
)
def test_an_event_that_contradicts_its_order_is_refused(
    told: dict[str, Any], payment: dict[str, Any], wrong: str
) -> None:
    """An invoice over other amounts than were ordered, or for another customer, is a false document."""
    order = a_paid_order()
    event = order_created(order)
    data = event.data.replace(order=order.replace(**told), payment=event.data.payment.replace(**payment))
    with pytest.raises(Conflict) as refused:
        check_told(event.model_copy(update={"data": data}), order)
    assert refused.value.detail == f"ORDER_CREATED contradicts order {order.id} in {wrong}"
