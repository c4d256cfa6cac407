"""Orders by the indexes beside their table."""

from functools import partial

from bbws.shared.sales.repositories.orders import OrderRepository
from tests.support.market import Market, paid
from tests.support.paging import paged


async def test_orders_are_found_by_status(market: Market) -> None:
    """AP-3 feeds operators: oldest first, and an order leaves the list with its status."""
    orders = [await market.order() for _ in range(4)]
    await market.services.payments.record(paid(orders[1]))
    repository = OrderRepository(market.services.database)
    waiting = await paged(partial(repository.list_by_status, "PENDING_PAYMENT"), limit=2)
    settled = await paged(partial(repository.list_by_status, "PAID"), limit=2)
    assert [[order.id for order in page] for page in waiting] == [[orders[0].id, orders[2].id], [orders[3].id]]
    assert [[order.id for order in page] for page in settled] == [[orders[1].id]]


async def test_orders_of_a_tenant_come_newest_first_page_by_page(shared_market: Market) -> None:
    """AP-2; a neighbour's are never among them."""
    tenant, product = await shared_market.tenant(), await shared_market.product()
    orders = [await shared_market.place(tenant, product) for _ in range(3)]
    await shared_market.order()
    repository = OrderRepository(shared_market.services.database)
    listed = await paged(partial(repository.list_of_tenant, tenant.id), limit=2)
    assert [[order.id for order in page] for page in listed] == [[orders[2].id, orders[1].id], [orders[0].id]]


async def test_order_is_found_by_its_id_alone(shared_market: Market) -> None:
    """An ITN whose tenant is a lie still finds its order; an id that is none finds nothing."""
    order = await shared_market.order()
    repository = OrderRepository(shared_market.services.database)
    assert await repository.find_anywhere(order.id) == order
    assert await repository.find_anywhere("TENANT#x") is None
