"""Money: cents, rounded half up, to the cent what a receipt says."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbws.shared.contracts.money import Money, vat_rate_percent

AMOUNTS = st.integers(min_value=0, max_value=100_000_000_00)
PERCENTAGES = st.decimals(min_value=0, max_value=100, places=2)


@pytest.mark.parametrize(
    ("cents", "percentage", "expected"),
    [(550, 15, 83), (1110, 15, 167), (249_00, "12.5", 31_13), (1, 50, 1), (3, 50, 2), (249_00, 0, 0), (115, 100, 115)],
)
def test_a_percentage_is_rounded_half_up(cents: int, percentage: int | str, expected: int) -> None:
    """Half to even, Python's default, gives 0.82 for 15 % of 5.50, and no accountant accepts that."""
    assert Money(cents).percent(Decimal(percentage)) == Money(expected)


@pytest.mark.parametrize(("gross", "vat"), [(249_00, 32_48), (99_00, 12_91), (0, 0), (1, 0), (115, 15)])
def test_the_vat_in_a_price_is_fifteen_hundred_fifteenths(gross: int, vat: int) -> None:
    """Prices include VAT (C-26): the invoice must name the part that goes to SARS."""
    assert Money(gross).vat_included(15) == Money(vat)


def test_a_discount_is_rounded_before_it_is_taken_off() -> None:
    """249.00 at 12.5 % off is 217.87: rounding the rest instead would give 217.88, a cent beside PayFast's amount."""
    price = Money(249_00)
    assert price - price.percent(Decimal("12.5")) == Money(217_87)


@given(gross=AMOUNTS, rate=st.sampled_from([0, 10, 14, 15]))
def test_net_and_vat_are_the_gross_and_vat_is_the_rate_of_net(gross: int, rate: int) -> None:
    """Both figures stand on the invoice; they must add up, and VAT must be the rate within half a cent."""
    vat = Money(gross).vat_included(rate)
    net = Money(gross) - vat
    assert net + vat == Money(gross)
    assert 0 <= vat.cents <= gross
    assert abs(Decimal(gross) * rate / (100 + rate) - vat.cents) <= Decimal("0.5")


@given(gross=AMOUNTS, percentage=PERCENTAGES)
def test_a_discount_never_exceeds_the_price(gross: int, percentage: Decimal) -> None:
    """Nobody is paid for buying."""
    assert 0 <= Money(gross).percent(percentage).cents <= gross


@given(cents=AMOUNTS)
def test_rand_is_what_payfast_and_people_read(cents: int) -> None:
    """PayFast compares texts: two decimals, a point, nothing between the thousands."""
    money = Money(cents)
    assert money.rand == f"{cents // 100}.{cents % 100:02d}"
    assert str(money).replace("\N{NO-BREAK SPACE}", "") == f"R{money.rand}"


def test_a_large_amount_is_grouped_without_breaking() -> None:
    """A line break inside an amount makes two amounts."""
    assert str(Money(1_234_567_50)) == "R\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}234\N{NO-BREAK SPACE}567.50"


@pytest.mark.parametrize(
    ("day", "rate"),
    [
        (date(1991, 9, 30), 10),
        (date(1993, 4, 6), 10),
        (date(1993, 4, 7), 14),
        (date(2018, 3, 31), 14),
        (date(2018, 4, 1), 15),
        (date(2026, 11, 21), 15),
    ],
)
def test_the_vat_rate_is_the_one_of_its_day(day: date, rate: int) -> None:
    """An order keeps the rate of the day it was placed on."""
    assert vat_rate_percent(day) == rate


def test_there_is_no_rate_before_vat() -> None:
    """A wrong clock must not make an invoice with a made-up rate."""
    with pytest.raises(ValueError, match="1991-09-29"):
        vat_rate_percent(date(1991, 9, 29))
