"""Orders by the indexes beside their table."""

from bbws.shared.contracts.pages import PageRequest
from bbws.shared.repositories.orders import OrderRepository
from tests.support.market import Market, paid


async def test_orders_are_found_by_status(market: Market) -> None:
    """AP-3 feeds operators: oldest first, and an order leaves the list with its status."""
    orders = [await market.order() for _ in range(3)]
    await market.services.orders.record_payment(paid(orders[1]))
    repository = OrderRepository(market.services.orders._database)
    waiting = await repository.list_by_status("PENDING_PAYMENT", PageRequest())
    settled = await repository.list_by_status("PAID", PageRequest())
    assert [order.id for order in waiting.items] == [orders[0].id, orders[2].id]
    assert [order.id for order in settled.items] == [orders[1].id]


async def test_order_is_found_by_its_id_alone(shared_market: Market) -> None:
    """An ITN whose tenant is a lie still finds its order; an id that is none finds nothing."""
    order = await shared_market.order()
    repository = OrderRepository(shared_market.services.orders._database)
    assert await repository.find_anywhere(order.id) == order
    assert await repository.find_anywhere("TENANT#x") is None
