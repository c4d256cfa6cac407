"""Campaigns: discounts that an order names by their code."""

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from bbws.gateway.keys import services
from bbws.gateway.links import Links, link_to
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, resource_id
from bbws.gateway.responses import record
from bbws.gateway.route import Answer, Route
from bbws.shared.contracts.sales.campaigns import Campaign, CampaignCode, CampaignDraft
from bbws.shared.errors import NotFound

_CODE: TypeAdapter[str] = TypeAdapter(CampaignCode)


def _links(request: web.Request, campaign: Campaign) -> Links:
    return {
        "self": link_to(request, "campaign-get", code=campaign.code),
        "product": link_to(request, "product-get", productId=campaign.product_id),
    }


def _code(request: web.Request) -> str:
    try:
        return _CODE.validate_python(request.match_info["code"])
    except ValidationError:
        raise NotFound("There is no campaign with this code.") from None


async def get_campaign(request: web.Request) -> web.Response:
    campaign = await services(request).campaigns.get(_code(request))
    return record(request, campaign, _links(request, campaign))


async def create_campaign(request: web.Request) -> web.Response:
    draft, campaign_id = body(request, CampaignDraft), resource_id(request)
    campaign = await services(request).campaigns.create(draft, actor=actor(request), campaign_id=campaign_id)
    return record(request, campaign, _links(request, campaign), created=True)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1.0/campaigns",
        operation_id="campaign-create",
        handler=create_campaign,
        summary="Start a campaign",
        tag="campaigns",
        access=Right.CATALOGUE_MANAGE,
        scope="platform",
        description="A discount on one product, on South African days from `fromDate` to `toDate`, both included.",
        request=CampaignDraft,
        answers={201: Answer("Created", Campaign, "resource", etag=True, location=True)},
        errors=(409,),
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/campaigns/{code}",
        operation_id="campaign-get",
        handler=get_campaign,
        summary="Read a campaign",
        tag="campaigns",
        access="public",
        answers={200: Answer("The campaign", Campaign, "resource", etag=True)},
        conditional=True,
        cacheable=True,
    ),
)
