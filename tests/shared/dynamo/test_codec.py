"""Plain values to DynamoDB's attributes and back."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbws.shared.dynamo.codec import decode, decode_item, encode, encode_item

NUMBERS = st.integers(-(10**38) + 1, 10**38 - 1) | st.decimals(allow_nan=False, allow_infinity=False, places=4)
SCALARS = st.none() | st.booleans() | st.text() | NUMBERS | st.binary()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(item=st.dictionaries(st.text(), VALUES))
def test_an_item_comes_back_as_it_was_stored(item: dict[str, Any]) -> None:
    """Money, rates and flags must not change their value or their kind by being stored."""
    again = decode_item(encode_item(item))
    assert again == item
    assert {name: type(value) is bool for name, value in again.items()} == {
        name: type(value) is bool for name, value in item.items()
    }


def test_a_whole_number_is_an_int_again() -> None:
    """`Decimal(24900)` would be refused by strict cents when the item is read."""
    assert type(decode(encode(249_00))) is int
    assert type(decode(encode(-1))) is int
    assert decode(encode(Decimal("12.50"))) == Decimal("12.5")


@pytest.mark.parametrize("value", [1.5, {"price": 1.0}, [0.1], datetime(2026, 11, 21, tzinfo=UTC), {1, 2}, object()])
def test_what_has_no_exact_form_is_refused(value: Any) -> None:
    """A float is never the amount that was meant; a date must say its form itself."""
    with pytest.raises(TypeError, match="DynamoDB takes no"):
        encode(value)


def test_an_attribute_of_a_kind_that_is_never_stored_is_refused() -> None:
    """Somebody else wrote it; guessing would hide that."""
    with pytest.raises(TypeError, match="SS"):
        decode({"SS": ["a"]})
