"""Campaigns, in `campaigns`; the code is the key."""

from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.sales.campaigns import Campaign
from bbws.shared.core.items import ACTIVE, Sought, item_of, model_of
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Key, Put
from bbws.shared.dynamo.keys import CAMPAIGNS, METADATA
from bbws.shared.errors import Conflict, FieldError


class CampaignRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, code: str) -> Campaign | None:
        item = await self._database.find(CAMPAIGNS, _key(code))
        return model_of(Campaign, item) if item else None

    def sought(self, code: str) -> Sought[Campaign]:
        return Sought(Campaign, (CAMPAIGNS, _key(code)))

    async def list_of_product(self, product_id: str, page: PageRequest) -> Page[Campaign]:
        """AP-5 (R-079), by first day; no page asks for it yet."""
        found = await self._database.page(
            CAMPAIGNS, page, partition=("productId", product_id), index="CampaignProductIndex"
        )
        return Page([model_of(Campaign, item) for item in found.items], found.next_cursor)

    def new(self, campaign: Campaign) -> Put:
        taken = Conflict(f"campaign code {campaign.code} is taken", [FieldError("#/code", "is taken")])
        return Put(CAMPAIGNS, _item(campaign), conflict=taken)


def _key(code: str) -> Key:
    return f"CAMPAIGN#{code}", METADATA


def _item(campaign: Campaign) -> Item:
    return item_of(campaign, _key(campaign.code), activeKey=ACTIVE if campaign.active else None)
