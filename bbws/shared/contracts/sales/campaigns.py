"""A discount on one product, on the days from `fromDate` to `toDate`, both included (South African days)."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, HttpUrl, PlainSerializer, StringConstraints, model_validator

from bbws.shared.contracts.base import Contract, Line, Record, Uuid

# Written as JSON text: a number would pass through binary floats in most clients.
Percentage = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2), PlainSerializer(str, return_type=str)]
CampaignCode = Annotated[
    str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{1,39}$")
]


class CampaignDraft(Contract):
    code: CampaignCode
    description: Annotated[Line, Field(max_length=500)]
    discount_percentage: Percentage
    product_id: Uuid
    terms_conditions_link: HttpUrl
    from_date: date
    to_date: date

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.to_date < self.from_date:
            raise ValueError("toDate lies before fromDate")
        return self


class Campaign(CampaignDraft, Record):
    id: Uuid

    def applies_on(self, day: date) -> bool:
        return self.active and self.from_date <= day <= self.to_date


class CampaignSnapshot(Contract):
    """The campaign as it was when the order was placed."""

    id: Uuid
    code: CampaignCode
    description: str
    discount_percentage: Percentage
    product_id: Uuid
