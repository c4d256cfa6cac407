"""Campaigns by the index of their product."""

from functools import partial

from bbws.shared.sales.repositories.campaigns import CampaignRepository
from tests.support.market import Market
from tests.support.paging import paged


async def test_campaigns_of_a_product_come_by_first_day(shared_market: Market) -> None:
    """AP-5: what an operator plans for a product, in the order in which it begins."""
    product = await shared_market.product()
    days = ["2026-03-01", "2026-01-01", "2026-02-01"]
    for day in days:
        await shared_market.campaign(product, from_date=day)
    await shared_market.campaign(await shared_market.product())
    repository = CampaignRepository(shared_market.services.database)
    found = await paged(partial(repository.list_of_product, product.id), limit=2)
    assert [[str(campaign.from_date) for campaign in page] for page in found] == [sorted(days)[:2], sorted(days)[2:]]
