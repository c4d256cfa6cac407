"""Discounts."""

from bbws.shared.clock import Clock
from bbws.shared.contracts.audit import PLATFORM
from bbws.shared.contracts.sales.campaigns import Campaign, CampaignDraft
from bbws.shared.core.audit import AuditEntries
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.errors import Conflict, FieldError, Invalid, NotFound
from bbws.shared.sales.repositories.campaigns import CampaignRepository
from bbws.shared.sales.repositories.products import ProductRepository


class Campaigns:
    def __init__(self, database: Database, audit: AuditEntries, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._campaigns = CampaignRepository(database)
        self._products = ProductRepository(database)
        self._clock = clock

    async def get(self, code: str) -> Campaign:
        campaign = await self._campaigns.find(code.upper())
        if campaign is None:
            raise NotFound(f"there is no campaign {code}")
        return campaign

    async def create(self, draft: CampaignDraft, *, actor: str, campaign_id: str) -> Campaign:
        """The same campaign again where `campaign_id` made it before.

        Raises Conflict for a code that is taken, Invalid for a product that does not exist.
        """
        if await self._products.find(draft.product_id) is None:
            unknown = FieldError("#/productId", "is no product")
            raise Invalid(f"there is no product {draft.product_id}", [unknown])
        now = self._clock()
        record = {"id": campaign_id, "date_created": now, "date_last_updated": now, "last_updated_by": actor}
        campaign = Campaign.model_validate(draft.model_dump(by_alias=False) | record)
        try:
            await self._database.transact([self._campaigns.new(campaign), self._created(campaign)])
        except Conflict:
            standing = await self._campaigns.find(draft.code)
            if standing and standing.id == campaign_id:
                return standing
            raise
        return campaign

    def _created(self, campaign: Campaign) -> Put:
        return self._audit.entry(
            "CAMPAIGN_CREATED",
            tenant_id=PLATFORM,
            subject=f"campaigns/{campaign.code}",
            actor=campaign.last_updated_by,
            after=campaign,
        )
