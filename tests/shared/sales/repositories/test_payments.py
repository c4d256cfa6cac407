"""Payments beside their orders."""

from functools import partial

from bbws.shared.sales.repositories.payments import PaymentRepository
from tests.support.market import Market, paid
from tests.support.paging import paged


async def test_payments_of_an_order_come_page_by_page(shared_market: Market) -> None:
    """AP-6, in the order of their ids; another order's are never among them, not even of the same tenant."""
    tenant, product = await shared_market.tenant(), await shared_market.product()
    order, other = [await shared_market.place(tenant, product) for _ in range(2)]
    events = [paid(order) for _ in range(3)]
    for event in (*events, paid(other)):
        await shared_market.services.payments.record(event)
    repository = PaymentRepository(shared_market.services.database)
    listed = await paged(partial(repository.list_of_order, tenant.id, order.id), limit=2)
    assert [[payment.id for payment in page] for page in listed] == _pages(sorted(e.data.payment.id for e in events))


def _pages(ids: list[str]) -> list[list[str]]:
    return [ids[:2], ids[2:]]
