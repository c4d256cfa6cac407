"""The keys that open an order's own pages."""

import pytest
from yarl import URL

from bbws.shared.ids import new_id
from bbws.shared.sales.order_keys import opens, order_key, order_page, order_url
from bbws.shared.settings import Settings

SETTINGS = Settings(token_signing_key="k" * 32, public_base_url="https://shop.bbws.example")
TENANT, ORDER = new_id(), new_id()


def test_key_opens_its_own_order_alone() -> None:
    """Whoever has one order's address must not be able to make that of another, not even of the same tenant."""
    key = order_key(SETTINGS, TENANT, ORDER)
    assert opens(SETTINGS, TENANT, ORDER, key)
    assert not opens(SETTINGS, TENANT, new_id(), key)
    assert not opens(SETTINGS, new_id(), ORDER, key)
    assert not opens(SETTINGS, ORDER, TENANT, key)


@pytest.mark.parametrize("wrong", ["", "x", "ä", "\udcff", "\0", "K" * 32, "k" * 5000])
def test_other_texts_open_nothing(wrong: str) -> None:
    """Keys come from addresses, where anything may stand; none of it may be an error of ours."""
    key = order_key(SETTINGS, TENANT, ORDER)
    for given in (wrong, key + wrong or key[:-1], key[:-1], key.swapcase()):
        assert given == key or not opens(SETTINGS, TENANT, ORDER, given)


def test_key_depends_on_the_signing_key() -> None:
    """Changing the secret closes every address that was ever given out."""
    other = SETTINGS.model_copy(update={"token_signing_key": Settings(token_signing_key="o" * 32).token_signing_key})
    assert not opens(other, TENANT, ORDER, order_key(SETTINGS, TENANT, ORDER))


def test_addresses_carry_key_and_query() -> None:
    """Mails, documents and PayFast get addresses that work as they are; PayFast takes 255 characters."""
    key = order_key(SETTINGS, TENANT, ORDER)
    url = URL(order_url(SETTINGS, TENANT, ORDER, cancelled="1"))
    assert (str(url.origin()), url.path) == ("https://shop.bbws.example", f"/orders/{TENANT}/{ORDER}")
    assert dict(url.query) == {"key": key, "cancelled": "1"}
    assert order_page(SETTINGS, TENANT, ORDER, "/checkout") == f"/orders/{TENANT}/{ORDER}/checkout?key={key}"
    # Leaves 100 characters for scheme and host.
    assert len(str(url.relative())) <= 155
