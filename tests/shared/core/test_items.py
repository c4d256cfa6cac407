"""Between contracts and stored items: what a key marks, and what is no item of ours."""

from typing import Any

import pytest

from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.products import Product
from bbws.shared.core.items import BrokenItem, item_of, model_of
from tests.support.builders import a_product, an_order

KEY = ("PRODUCT#1", "METADATA")


def test_an_index_holds_what_has_its_key_alone() -> None:
    """A key of None is refused by DynamoDB, and one of "" would put every retired product back on sale."""
    assert "activeKey" not in item_of(a_product(), KEY, activeKey=None)
    assert item_of(a_product(), KEY, activeKey="ACTIVE")["activeKey"] == "ACTIVE"


def test_an_item_is_read_without_what_is_stored_beside_it() -> None:
    """Keys of indexes, and what a newer process adds: an older one must go on reading through a deployment."""
    product = a_product()
    stored = item_of(product, KEY, activeKey="ACTIVE") | {"colour": "of a later version"}
    assert model_of(Product, stored) == product


@pytest.mark.parametrize("broken", [{"priceCents": -1}, {"name": None}, {"version": 0}])
def test_an_item_that_is_none_is_named_with_its_fields_and_without_their_values(broken: dict[str, object]) -> None:
    """An operator looks for it by its key; what stands in it may be personal, and is no matter of a log."""
    stored = item_of(a_product(description="of Thandi Nkosi"), KEY) | broken
    with pytest.raises(BrokenItem) as told:
        model_of(Product, stored)
    assert str(told.value) == f"PRODUCT#1 | METADATA is no Product: {next(iter(broken))}"


BROKEN: dict[str, Any] = {
    "an id": ("id", "01A20101-E6C3-7B8A-B07E-7D907A847E3D"),
    "a status": ("status", "PAYED"),
    "a time": ("dateCreated", "yesterday"),
    "a time without its zone": ("dateCreated", "2026-11-21T17:30:00"),
    "an e-mail": ("customerEmail", "thandi@"),
    "an e-mail under a reserved name": ("customerEmail", "thandi@bakery.invalid"),
    "an e-mail beyond ASCII": ("customerEmail", "thändi@bakery.example"),
    "cents as text": ("totalCents", "24900"),
    "negative cents": ("subtotalCents", -1),
    "a sum": ("taxCents", 3249),
    "a percentage": ("vatRatePercent", 101),
    "a version": ("version", 0),
    "no lines": ("items", []),
    "no address": ("billingAddress", None),
    "a boolean": ("active", "perhaps"),
}


@pytest.mark.parametrize(("field", "value"), BROKEN.values(), ids=BROKEN)
def test_a_stored_order_with_a_wrong_field_is_refused(field: str, value: object) -> None:
    """Whatever is fast about reading: a foreign hand's order must not be paid, invoiced or shown."""
    stored = item_of(an_order(), KEY)
    assert model_of(Order, stored)
    with pytest.raises(BrokenItem):
        model_of(Order, stored | {field: value})


INSIDE: dict[str, Any] = {
    "a country": ("billingAddress", "country", "Botswana"),
    "a line break": ("billingAddress", "name", "Thandi\nBcc: all"),
    "a name too long": ("billingAddress", "name", "x" * 121),
    "a field nobody knows": ("billingAddress", "colour", "red"),
    "a quantity": (0, "quantity", 1001),
    "a quantity that is no whole number": (0, "quantity", 1.5),
    "a price": (0, "unitPriceCents", 1),
    "a cycle": (0, "billingCycle", "weekly"),
    "an entitlement": (0, "entitlements", {"sites": -1}),
}


@pytest.mark.parametrize(("place", "field", "value"), INSIDE.values(), ids=INSIDE)
def test_a_stored_order_with_a_wrong_part_is_refused(place: str | int, field: str, value: object) -> None:
    """The same for what lies deeper."""
    stored = item_of(an_order(), KEY)
    (stored["items"][place] if isinstance(place, int) else stored[place])[field] = value
    with pytest.raises(BrokenItem):
        model_of(Order, stored)
