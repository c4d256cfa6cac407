"""What an order costs: every amount fixed once, line by line, and the order the sum of its lines (C-26)."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from bbws.shared.contracts.money import Money, vat_rate_percent
from bbws.shared.contracts.sales.campaigns import Campaign, CampaignSnapshot
from bbws.shared.contracts.sales.orders import OrderItem
from bbws.shared.contracts.sales.products import Product
from bbws.shared.ids import new_id

PricedLine = tuple[Product, int]


def vat_rate(on: date, seller_vat_number: str | None) -> int:
    """In per cent; a seller who is no VAT vendor charges none."""
    return vat_rate_percent(on) if seller_vat_number else 0


def price(
    lines: Iterable[PricedLine], campaign: Campaign | None, *, rate_percent: int, now: datetime, actor: str
) -> tuple[OrderItem, ...]:
    return tuple(
        _item(product, quantity, _discount(product, quantity, campaign), rate_percent, now, actor)
        for product, quantity in lines
    )


def total(items: Sequence[OrderItem]) -> dict[str, int]:
    return {
        "subtotal_cents": sum(item.subtotal_cents for item in items),
        "tax_cents": sum(item.tax_cents for item in items),
        "total_cents": sum(item.total_cents for item in items),
    }


def snapshot(campaign: Campaign) -> CampaignSnapshot:
    return CampaignSnapshot.model_validate(
        campaign.model_dump(by_alias=False, include=set(CampaignSnapshot.model_fields))
    )


def _discount(product: Product, quantity: int, campaign: Campaign | None) -> Money:
    if campaign is None or campaign.product_id != product.id:
        return Money(0)
    return (Money(product.price_cents) * quantity).percent(campaign.discount_percentage)


def _item(product: Product, quantity: int, discount: Money, rate_percent: int, now: datetime, actor: str) -> OrderItem:
    gross = Money(product.price_cents) * quantity - discount
    vat = gross.vat_included(rate_percent)
    return OrderItem(
        id=new_id(),
        product_id=product.id,
        product_name=product.name,
        billing_cycle=product.billing_cycle,
        entitlements=product.entitlements,
        quantity=quantity,
        unit_price_cents=product.price_cents,
        discount_cents=discount.cents,
        subtotal_cents=(gross - vat).cents,
        tax_cents=vat.cents,
        total_cents=gross.cents,
        date_created=now,
        date_last_updated=now,
        last_updated_by=actor,
    )
