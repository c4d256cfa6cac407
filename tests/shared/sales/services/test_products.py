"""The catalogue: changed by version, retired and not deleted."""

import asyncio

import pytest

from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.sales.products import Product
from bbws.shared.errors import NotFound, PreconditionFailed
from bbws.shared.ids import new_id
from tests.support.market import OPERATOR, Market, product_draft
from tests.support.meanwhile import meanwhile


async def _on_sale(market: Market) -> set[str]:
    seen: set[str] = set()
    cursor = None
    while True:
        page = await market.services.products.list_active(PageRequest(2, cursor))
        seen |= {product.id for product in page.items}
        cursor = page.next_cursor
        if cursor is None:
            return seen


async def test_update_replaces_what_the_operator_saw(shared_market: Market) -> None:
    """The whole draft counts, the version moves by one, and it is known who did it."""
    products, product = shared_market.services.products, await shared_market.product(features=("a", "b"))
    changed = await products.update(product.id, product_draft(price_cents=1), version=1, actor="thabo")
    assert (changed.price_cents, changed.features, changed.version, changed.last_updated_by) == (1, (), 2, "thabo")
    assert await products.get(product.id) == changed
    assert changed.date_created == product.date_created


async def test_change_of_an_old_version_is_refused(shared_market: Market) -> None:
    """Of two operators who saw the same version one is told to look again, at the same moment or later."""
    products, product = shared_market.services.products, await shared_market.product()
    answers = await asyncio.gather(
        *(products.update(product.id, product_draft(price_cents=n), version=1, actor=OPERATOR) for n in range(4)),
        return_exceptions=True,
    )
    (winner,) = (answer for answer in answers if isinstance(answer, Product))
    assert [type(answer) for answer in answers].count(PreconditionFailed) == 3
    with pytest.raises(PreconditionFailed):
        await products.retire(product.id, version=1, actor=OPERATOR)
    assert await products.get(product.id) == winner


async def test_change_that_another_makes_at_this_moment_is_not_written_over(shared_market: Market) -> None:
    """Both saw version 1, and the check of it passed for both: only the write knows who came first."""
    products, product = shared_market.services.products, await shared_market.product()
    other = products.retire(product.id, version=1, actor="the other")
    with meanwhile(lambda: other), pytest.raises(PreconditionFailed):
        await products.update(product.id, product_draft(price_cents=1), version=1, actor=OPERATOR)
    now = await products.get(product.id)
    assert (now.active, now.price_cents, now.version, now.last_updated_by) == (False, 249_00, 2, "the other")


async def test_product_that_another_makes_at_this_moment_is_the_same_one(shared_market: Market) -> None:
    """A repeated request on another gateway: one product, and both answer with it."""
    products, product_id = shared_market.services.products, new_id()
    other = products.create(product_draft(name="Of the other"), actor="the other", product_id=product_id)
    with meanwhile(lambda: other):
        made = await products.create(product_draft(), actor=OPERATOR, product_id=product_id)
    assert (made.name, made) == ("Of the other", await products.get(product_id))


async def test_retired_product_is_not_listed_and_can_be_read(market: Market) -> None:
    """Old orders point to it; new customers do not see it, and changing its text does not put it back on sale."""
    products = market.services.products
    kept = [await market.product() for _ in range(3)]
    gone = await market.product()
    await products.retire(gone.id, version=1, actor=OPERATOR)
    await products.update(gone.id, product_draft(name="Old"), version=2, actor=OPERATOR)
    assert await _on_sale(market) == {product.id for product in kept}
    assert (await products.get(gone.id)).active is False


async def test_same_id_again_is_the_same_product(shared_market: Market) -> None:
    """A repeated request must not undo a change made meanwhile."""
    products, product = shared_market.services.products, await shared_market.product()
    changed = await products.update(product.id, product_draft(name="Newer"), version=1, actor=OPERATOR)
    assert await products.create(product_draft(), actor=OPERATOR, product_id=product.id) == changed


async def test_unknown_product_is_not_found(shared_market: Market) -> None:
    """404 for reading and for changing."""
    products = shared_market.services.products
    with pytest.raises(NotFound):
        await products.get(new_id())
    with pytest.raises(NotFound):
        await products.update(new_id(), product_draft(), version=1, actor=OPERATOR)
