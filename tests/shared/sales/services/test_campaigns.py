"""Campaigns: one per code, for a product that exists."""

import asyncio

import pytest

from bbws.shared.contracts.sales.campaigns import Campaign
from bbws.shared.errors import Conflict, Invalid, NotFound
from bbws.shared.ids import new_id
from tests.support.builders import a_product
from tests.support.market import OPERATOR, Market, campaign_draft


async def test_code_is_found_in_any_case(shared_market: Market) -> None:
    """Customers type codes from a poster."""
    campaign = await shared_market.campaign(await shared_market.product())
    assert await shared_market.services.campaigns.get(campaign.code.lower()) == campaign
    with pytest.raises(NotFound):
        await shared_market.services.campaigns.get(f"X{new_id()[-12:]}")


async def test_code_is_unique_under_parallel_creates(shared_market: Market) -> None:
    """One code with two discounts would be a gamble; the others are told that it is taken."""
    draft = campaign_draft(await shared_market.product())
    create = shared_market.services.campaigns.create
    answers = await asyncio.gather(
        *(create(draft, actor=OPERATOR, campaign_id=new_id()) for _ in range(10)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    assert [len(refused), sum(isinstance(answer, Campaign) for answer in answers)] == [9, 1]
    assert {error.pointer for answer in refused for error in answer.errors} == {"#/code"}


async def test_same_id_again_is_the_same_campaign(shared_market: Market) -> None:
    """A request that is repeated after a crash, or at the same moment, finds what it made."""
    draft, campaign_id = campaign_draft(await shared_market.product()), new_id()
    create = shared_market.services.campaigns.create
    made = await asyncio.gather(*(create(draft, actor=OPERATOR, campaign_id=campaign_id) for _ in range(4)))
    again = await create(draft, actor=OPERATOR, campaign_id=campaign_id)
    assert [*made, again] == [made[0]] * 5


async def test_product_must_exist(shared_market: Market) -> None:
    """A discount on nothing is a typing error."""
    with pytest.raises(Invalid) as refused:
        await shared_market.campaign(a_product())
    assert [error.pointer for error in refused.value.errors] == ["#/productId"]
