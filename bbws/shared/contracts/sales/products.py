"""What is sold."""

from typing import Annotated, Literal

from pydantic import Field

from bbws.shared.contracts.base import Cents, Contract, Line, Record, Uuid

BillingCycle = Literal["monthly", "yearly"]


class Entitlements(Contract):
    """What a customer may use once the product is paid (C-20)."""

    sites: Annotated[int, Field(ge=0, le=1000)] = 1
    storage_gb: Annotated[int, Field(ge=0, le=100_000)] = 10
    plugins: Annotated[int, Field(ge=0, le=1000)] = 10
    environments: Annotated[int, Field(ge=1, le=3)] = 1


class ProductDraft(Contract):
    """What an operator says of a product; `priceCents` includes VAT."""

    name: Annotated[Line, Field(max_length=100)]
    description: Annotated[str, Field(max_length=2000)] = ""
    price_cents: Cents
    features: Annotated[tuple[Line, ...], Field(max_length=30)] = ()
    billing_cycle: BillingCycle = "monthly"
    entitlements: Entitlements = Entitlements()


class Product(ProductDraft, Record):
    id: Uuid
