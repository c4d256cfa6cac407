"""Payments: each recorded once, and an order moved by its first one alone."""

import asyncio

import pytest

from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.dynamo.database import Update
from bbws.shared.dynamo.keys import ORDERS
from bbws.shared.errors import NotFound
from bbws.shared.ids import new_id
from bbws.shared.sales.repositories.orders import OrderChanged
from tests.support.market import Market, paid
from tests.support.meanwhile import meanwhile


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


async def _changed_by_another(market: Market, order: Order) -> None:
    """One version further, as whoever changes an order leaves it."""
    key = (f"TENANT#{order.tenant_id}", f"ORDER#{order.id}")
    changes = {"customerEmail": "new@protea.example", "version": order.version + 1}
    await market.services.database.write(Update(ORDERS, key, changes))


async def test_order_that_changed_meanwhile_is_not_written_over(shared_market: Market) -> None:
    """The message comes back and is decided on what stands then: a lost change of an order is lost without a trace."""
    order, services = await shared_market.order(), shared_market.services
    event = paid(order)
    with meanwhile(lambda: _changed_by_another(shared_market, order)), pytest.raises(OrderChanged):
        await services.payments.record(event)
    assert await shared_market.items_beside(order) == [], "neither without the other"
    await services.payments.record(event)
    now = await services.orders.get(order.tenant_id, order.id)
    assert (now.status, now.version, now.customer_email) == ("PAID", 3, "new@protea.example")


async def test_payment_that_another_records_at_this_moment_is_a_repeat(shared_market: Market) -> None:
    """SQS delivers to two processes: the slower one finds the work done, and its message is done with."""
    order, services = await shared_market.order(), shared_market.services
    event = paid(order)
    with meanwhile(lambda: services.payments.record(event)):
        await services.payments.record(event)
    assert (await services.orders.get(order.tenant_id, order.id)).version == 2
    assert len((await services.payments.list_of_order(order.tenant_id, order.id, PageRequest())).items) == 1


async def test_second_payment_that_comes_at_the_moment_of_the_first_is_not_lost(shared_market: Market) -> None:
    """Both saw an order that waits: the slower one tries again, and is told as money that is owed."""
    order, services = await shared_market.order(), shared_market.services
    first, second = paid(order), paid(order)
    with meanwhile(lambda: services.payments.record(first)), pytest.raises(OrderChanged):
        await services.payments.record(second)
    await services.payments.record(second)
    now = await services.orders.get(order.tenant_id, order.id)
    assert (now.payment_details, now.version) == (first.data.order.payment_details, 2)
    payments = (await services.payments.list_of_order(order.tenant_id, order.id, PageRequest())).items
    assert {payment.id for payment in payments} == {first.data.payment.id, second.data.payment.id}
