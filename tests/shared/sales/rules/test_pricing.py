"""What an order costs, against the same rules in exact fractions."""

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bbws.shared.sales.rules.pricing import price, total
from tests.support.builders import PLACED_AT, a_campaign, a_product

PRICES = st.integers(min_value=0, max_value=100_000_00)
QUANTITIES = st.integers(min_value=1, max_value=1000)
PERCENTAGES = st.decimals(min_value=0, max_value=100, places=2)


def _half_up(amount: Fraction) -> int:
    return floor(amount + Fraction(1, 2))


@example(cents=33, quantity=3, percentage=Decimal(50), rate=15)
@given(cents=PRICES, quantity=QUANTITIES, percentage=PERCENTAGES, rate=st.sampled_from([0, 15]))
def test_a_line_is_rounded_once_for_the_discount_and_once_for_vat(
    cents: int, quantity: int, percentage: Decimal, rate: int
) -> None:
    """The discount is of the whole line: of each piece, 3 × 0.33 at half price would cost 0.48 and not 0.49. VAT is
    part of what is left (C-26)."""
    product = a_product(price_cents=cents)
    campaign = a_campaign(product, discount_percentage=percentage)
    (item,) = price([(product, quantity)], campaign, rate_percent=rate, now=PLACED_AT, actor="customer")
    discount = _half_up(Fraction(cents * quantity) * Fraction(percentage) / 100)
    gross = cents * quantity - discount
    vat = _half_up(Fraction(gross * rate, 100 + rate))
    assert (item.unit_price_cents, item.discount_cents, item.total_cents) == (cents, discount, gross)
    assert (item.tax_cents, item.subtotal_cents) == (vat, gross - vat)


@pytest.mark.parametrize("rate", [0, 15])
def test_an_order_is_the_sum_of_its_lines_and_only_its_own_product_is_reduced(rate: int) -> None:
    """VAT of the sum would be another cent than the sum of the VATs that the invoice shows."""
    products = [a_product(price_cents=cents) for cents in (1_11, 1_11, 1_11)]
    campaign = a_campaign(products[1], discount_percentage=Decimal(10))
    lines = [(product, 1) for product in products]
    items = price(lines, campaign, rate_percent=rate, now=PLACED_AT, actor="customer")
    assert [item.discount_cents for item in items] == [0, 11, 0]
    assert [item.tax_cents for item in items] == ([14, 13, 14] if rate else [0, 0, 0])
    assert total(items) == {
        "subtotal_cents": 322 - (41 if rate else 0),
        "tax_cents": 41 if rate else 0,
        "total_cents": 322,
    }
