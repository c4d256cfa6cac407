"""The catalogue that `bbws up` starts with, so that there is something to buy."""

from datetime import timedelta
from decimal import Decimal

from pydantic import HttpUrl

from bbws.shared.bootstrap import Services
from bbws.shared.clock import business_date
from bbws.shared.contracts.sales.campaigns import CampaignDraft
from bbws.shared.contracts.sales.products import Entitlements, ProductDraft
from bbws.shared.errors import Conflict
from bbws.shared.ids import derived_id

ACTOR = "demo-data"
CAMPAIGN_CODE = "WELCOME10"

PRODUCTS = (
    ProductDraft(
        name="WordPress Starter",
        description="One site with daily backups, for a business that begins.",
        price_cents=99_00,
        features=("1 site", "10 GB storage", "Daily backups", "Free TLS certificate"),
        entitlements=Entitlements(sites=1, storage_gb=10, plugins=10),
    ),
    ProductDraft(
        name="WordPress Business",
        description="Five sites with staging, for a company that lives from them.",
        price_cents=249_00,
        features=("5 sites", "50 GB storage", "Hourly backups", "Staging environment", "Support within 4 hours"),
        entitlements=Entitlements(sites=5, storage_gb=50, plugins=30, environments=2),
    ),
    ProductDraft(
        name="WordPress Agency",
        description="Thirty sites under one roof, paid once a year.",
        price_cents=8990_00,
        features=("30 sites", "300 GB storage", "Hourly backups", "Staging environment", "Support within 1 hour"),
        billing_cycle="yearly",
        entitlements=Entitlements(sites=30, storage_gb=300, plugins=100, environments=3),
    ),
)


def product_id(draft: ProductDraft) -> str:
    return derived_id("demo-product", draft.name)


async def seed(services: Services) -> None:
    """The demo products and a running campaign are there; running it again changes nothing."""
    for draft in PRODUCTS:
        await services.products.create(draft, actor=ACTOR, product_id=product_id(draft))
    today = business_date(services.clock())
    campaign = CampaignDraft(
        code=CAMPAIGN_CODE,
        description="Ten per cent off WordPress Business for new customers",
        discount_percentage=Decimal(10),
        product_id=product_id(PRODUCTS[1]),
        terms_conditions_link=HttpUrl("https://bbws.example/terms/welcome10"),
        from_date=today,
        to_date=today + timedelta(days=365),
    )
    try:
        await services.campaigns.create(campaign, actor=ACTOR, campaign_id=derived_id("demo-campaign", CAMPAIGN_CODE))
    except Conflict:
        return  # The code was taken before this demo data knew it.
