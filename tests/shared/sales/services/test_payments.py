"""Payments: each recorded once, and an order moved by its first one alone."""

import asyncio

import pytest

from bbws.shared.contracts.pages import PageRequest
from bbws.shared.errors import NotFound
from bbws.shared.ids import new_id
from tests.support.market import Market, paid


async def test_payment_moves_the_order_once(shared_market: Market) -> None:
    """Five deliveries of one event, two at the same moment: PAID at version 2, and one payment beside it."""
    order = await shared_market.order()
    event, services = paid(order), shared_market.services
    await asyncio.gather(*(services.payments.record(event) for _ in range(2)))
    for _ in range(3):
        await services.payments.record(event)
    now = await services.orders.get(order.tenant_id, order.id)
    assert (now.status, now.version, now.payment_details) == ("PAID", 2, event.data.order.payment_details)
    assert (now.items, now.total_cents) == (order.items, order.total_cents)
    (payment,) = (await services.payments.list_of_order(order.tenant_id, order.id, PageRequest())).items
    # When it was recorded, and by whom: that is the moment at which the timeline shows it.
    recorded = {"date_last_updated": payment.date_last_updated, "last_updated_by": "order-record"}
    assert payment == event.data.payment.replace(**recorded)


async def test_second_payment_is_kept_and_changes_no_order(shared_market: Market) -> None:
    """A customer who pays twice gets money back only when the second payment is on record."""
    order, services = await shared_market.order(), shared_market.services
    first, second = paid(order), paid(order)
    for event in (first, second):
        await services.payments.record(event)
    now = await services.orders.get(order.tenant_id, order.id)
    assert (now.payment_details, now.version) == (first.data.order.payment_details, 2)
    payments = (await services.payments.list_of_order(order.tenant_id, order.id, PageRequest())).items
    assert {payment.id for payment in payments} == {first.data.payment.id, second.data.payment.id}


async def test_payment_of_an_unknown_order_is_refused(shared_market: Market) -> None:
    """`order-record` never creates an order that BBWS did not take (C-10)."""
    order = await shared_market.order()
    stranger = order.replace(id=new_id())
    with pytest.raises(NotFound):
        await shared_market.services.payments.record(paid(stranger))
    assert await shared_market.items_beside(stranger) == []
