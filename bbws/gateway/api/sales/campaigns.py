"""Campaigns: discounts that an order names by their code."""

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from bbws.gateway.api.sales.products import product_path
from bbws.gateway.keys import services
from bbws.gateway.requests import actor, body, resource_id
from bbws.gateway.responses import API, Links, link, record
from bbws.shared.contracts.sales.campaigns import Campaign, CampaignCode, CampaignDraft
from bbws.shared.errors import NotFound

_CODE: TypeAdapter[str] = TypeAdapter(CampaignCode)


def _path(campaign: Campaign) -> str:
    return f"{API}/campaigns/{campaign.code}"


def _links(campaign: Campaign) -> Links:
    return {"self": link(_path(campaign)), "product": link(product_path(campaign.product_id))}


def _code(request: web.Request) -> str:
    try:
        return _CODE.validate_python(request.match_info["code"])
    except ValidationError:
        raise NotFound("There is no campaign with this code.") from None


async def get_campaign(request: web.Request) -> web.Response:
    campaign = await services(request).campaigns.get(_code(request))
    return record(request, campaign, _links(campaign))


async def create_campaign(request: web.Request) -> web.Response:
    draft, campaign_id = body(request, CampaignDraft), resource_id(request)
    campaign = await services(request).campaigns.create(draft, actor=actor(request), campaign_id=campaign_id)
    return record(request, campaign, _links(campaign), created=True)
