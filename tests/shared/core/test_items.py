"""Between contracts and stored items: what a key marks, and what is no item of ours."""

import pytest

from bbws.shared.contracts.sales.products import Product
from bbws.shared.core.items import BrokenItem, item_of, model_of
from tests.support.builders import a_product

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
