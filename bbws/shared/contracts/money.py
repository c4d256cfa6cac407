"""Money in integer cents of the rand; `Decimal` only inside, always rounded half up (SARS practice, C-26)."""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

# (first day, per cent); VAT Act 89 of 1991 and its amendments.
_VAT_RATES = ((date(1991, 9, 30), 10), (date(1993, 4, 7), 14), (date(2018, 4, 1), 15))


def vat_rate_percent(on: date) -> int:
    """South Africa's standard VAT rate on a day, in per cent. Raises ValueError for a day before VAT."""
    rates = [rate for start, rate in _VAT_RATES if start <= on]
    if not rates:
        raise ValueError(f"there was no VAT on {on}")
    return rates[-1]


@dataclass(frozen=True, order=True, slots=True)
class Money:
    cents: int

    def __add__(self, other: "Money") -> "Money":
        return Money(self.cents + other.cents)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.cents - other.cents)

    def __mul__(self, quantity: int) -> "Money":
        return Money(self.cents * quantity)

    def percent(self, percentage: Decimal | int) -> "Money":
        return Money(_rounded(Decimal(self.cents) * percentage / 100))

    def vat_included(self, rate_percent: int) -> "Money":
        """The VAT that a price including VAT contains: 249.00 at 15 % contains 32.48."""
        return Money(_rounded(Decimal(self.cents) * rate_percent / (100 + rate_percent)))

    @property
    def rand(self) -> str:
        """`1234.50`, as PayFast writes amounts."""
        whole, cents = divmod(abs(self.cents), 100)
        return f"{'-' if self.cents < 0 else ''}{whole}.{cents:02}"

    def __str__(self) -> str:
        """`R 1 234.50`, as people read it (with no-break spaces)."""
        return f"R\N{NO-BREAK SPACE}{Decimal(self.cents) / 100:,.2f}".replace(",", "\N{NO-BREAK SPACE}")


def _rounded(cents: Decimal) -> int:
    return int(cents.quantize(Decimal(1), rounding=ROUND_HALF_UP))
