"""Cursors open only where they were given, and only as they were given."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbws.shared.dynamo.cursor import CursorSigner
from bbws.shared.errors import BadRequest

SIGNER = CursorSigner("a signing key")
START = {"PK": "TENANT#1", "SK": "ORDER#2"}


@given(key=st.dictionaries(st.text(), st.text() | st.integers(0, 2**60), min_size=1), scope=st.text())
def test_a_cursor_opens_to_the_key_it_was_made_of(key: dict[str, str], scope: str) -> None:
    """It must survive being part of a URL."""
    cursor = SIGNER.seal(scope, key)
    assert cursor.isascii()
    assert set("+/=&?#").isdisjoint(cursor)
    assert SIGNER.open(scope, cursor) == key


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_an_altered_cursor_is_refused(position: int, flip: int) -> None:
    """Otherwise a tenant could write the start key of another tenant's list."""
    sealed = bytearray(_raw(SIGNER.seal("orders", START)))
    sealed[position % len(sealed)] ^= flip
    _refused(SIGNER, "orders", base64.urlsafe_b64encode(bytes(sealed)).decode())


@pytest.mark.parametrize("cursor", ["", "x", "é", "not a cursor", "====", "A" * 4000, "{}"])
def test_what_is_no_cursor_is_a_bad_request(cursor: str) -> None:
    """Clients send anything; none of it may be a server error."""
    _refused(SIGNER, "orders", cursor)


def test_a_cursor_of_another_list_or_key_is_refused() -> None:
    """It would start in the middle of something else, or come from a key that was given up."""
    cursor = SIGNER.seal("orders", START)
    _refused(SIGNER, "payments", cursor)
    _refused(CursorSigner("another key"), "orders", cursor)


def _refused(signer: CursorSigner, scope: str, cursor: str) -> None:
    with pytest.raises(BadRequest, match="start again without it"):
        signer.open(scope, cursor)


def _raw(cursor: str) -> bytes:
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
