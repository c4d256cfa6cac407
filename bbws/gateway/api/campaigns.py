"""Campaigns: discounts that an order names by their code."""

from aiohttp import web

from bbws.gateway.api.products import product_path
from bbws.gateway.keys import services
from bbws.gateway.requests import actor, body, resource_id
from bbws.gateway.responses import API, Links, etag_of, link, resource
from bbws.shared.contracts.campaigns import Campaign, CampaignDraft


def _path(campaign: Campaign) -> str:
    return f"{API}/campaigns/{campaign.code}"


def _links(campaign: Campaign) -> Links:
    return {"self": link(_path(campaign)), "product": link(product_path(campaign.product_id))}


async def get_campaign(request: web.Request) -> web.Response:
    campaign = await services(request).campaigns.get(request.match_info["code"])
    return resource(request, campaign, _links(campaign), etag=etag_of(campaign.version))


async def create_campaign(request: web.Request) -> web.Response:
    draft, campaign_id = body(request, CampaignDraft), resource_id(request)
    campaign = await services(request).campaigns.create(draft, actor=actor(request), campaign_id=campaign_id)
    etag, location = etag_of(campaign.version), _path(campaign)
    return resource(request, campaign, _links(campaign), etag=etag, status=201, location=location)
