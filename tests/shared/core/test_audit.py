"""Audit entries as they are made: what they hold, and what they give away."""

from typing import Any

from bbws.shared.contracts.audit import PLATFORM
from bbws.shared.contracts.sales.products import Product
from bbws.shared.core.audit import AuditEntries, acting
from bbws.shared.core.audit_entries import AuditRepository
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.cursor import CursorSigner
from bbws.shared.dynamo.database import Database
from bbws.shared.logging import bound
from tests.support.builders import PAID_AT, a_product
from tests.support.clock import HandClock
from tests.support.scripted import Scripted


def _entry(before: Product | None = None, after: Product | None = None, **said: Any) -> Item:
    entries = AuditEntries(AuditRepository(Database(Scripted({}), CursorSigner("key"))), HandClock())
    what: dict[str, Any] = {"tenant_id": PLATFORM, "subject": "products/1", "actor": "user:thabo"}
    return entries.entry("PRODUCT_UPDATED", **what, before=before, after=after, **said).item


def test_only_what_differs_is_kept_with_what_came_and_what_went() -> None:
    """A price says what it was; a text that nobody changed is not told again, nor is what is not there."""
    before = a_product(features=("a",))
    after = before.changed(by="user:thabo", at=PAID_AT, price_cents=1_00, features=())
    details = _entry(before, after)["details"]
    assert details["before"]["priceCents"] == before.price_cents
    assert details["after"]["priceCents"] == 1_00
    assert (details["before"]["features"], details["after"]["features"]) == (["a"], [])
    assert "description" not in {*details["before"], *details["after"]}


def test_the_same_details_never_have_the_same_digest() -> None:
    """The digest outlives a purge: without a salt whoever guesses an address could see from it that they are right."""
    product = a_product()
    made = [_entry(None, product) for _ in range(3)]
    assert len({entry["digest"] for entry in made}) == 3
    assert min(len(entry["details"]["salt"]) for entry in made) >= 32


def test_an_entry_says_where_it_came_from_and_in_which_flow() -> None:
    """The address of the caller and the request's id: without them an entry names an actor and no deed."""
    with acting("203.0.113.9"), bound(correlation_id="the-request"):
        inside, given = _entry(), _entry(correlation_id="the-order")
    outside = _entry()
    assert (inside["details"]["source"], inside["correlationId"]) == ("203.0.113.9", "the-request")
    assert given["correlationId"] == "the-order"
    assert (outside["details"]["source"], outside["correlationId"]) == ("unknown", outside["id"])


def test_an_entry_waits_for_its_seal_from_the_first_moment() -> None:
    """Made due in a second write, a crash in between leaves an entry that nobody ever seals."""
    entry = _entry()
    assert entry["dueKey"].startswith("SEAL#")
    assert entry["dueAt"] == entry["at"]
