"""What contracts accept, and what they turn it into."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from hypothesis import given
from hypothesis import strategies as st
from pydantic import EmailStr, Field, TypeAdapter, ValidationError

from bbws.shared.clock import iso
from bbws.shared.contracts.base import Cents, Line, Timestamp, Uuid
from bbws.shared.contracts.events import EVENTS
from bbws.shared.contracts.sales.campaigns import CampaignDraft
from bbws.shared.contracts.sales.invoices import invoice_number
from bbws.shared.contracts.sales.orders import BillingAddress, Order, OrderDraft, OrderItem
from bbws.shared.contracts.tenancy.hierarchies import HierarchyUnit
from bbws.shared.contracts.tenancy.registrations import MAX_PASSWORD_CHARS, MAX_TOKEN_CHARS, Confirmation
from bbws.shared.contracts.tenancy.tenants import Email, Hold, Registration, Tenant, TenantDraft, TenantPatch
from tests.support.builders import (
    PAID_AT,
    PLACED_AT,
    a_billing_address,
    a_campaign,
    a_tenant,
    an_item,
    an_order,
    order_created,
)

_ID = "019aa7d0-8e3c-7001-8000-000000000001"
LINES = TypeAdapter[str](Line)
MOMENTS = st.datetimes(min_value=datetime(1991, 1, 1), max_value=datetime(2199, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds


@pytest.mark.parametrize("kind", [Registration, TenantDraft])
@pytest.mark.parametrize("name", ["email", "contactEmail", "contact_email"])
def test_an_email_may_be_called_contact_email(kind: type[Registration | TenantDraft], name: str) -> None:
    """C-04: both names stand in the documents that clients were written from."""
    given = {name: "owner@protea.example", "organizationName": "Protea Bakery"}
    assert kind.model_validate(given).model_dump(by_alias=True)["email"] == "owner@protea.example"


ADDRESSES = st.from_regex(
    r"[a-zA-Z0-9._+-]{1,66}@([a-z0-9A-Z-]{1,66}\.){0,3}(com|example|co\.za|test|local|onion|invalid|x|0|xn--p1ai|Com)",
    fullmatch=True,
) | st.emails(domains=st.sampled_from(["bakery.example", "a--b.example", "xn--bcher-kva.example", "-a.example"]))


@given(ADDRESSES)
def test_an_address_is_judged_as_email_validator_judges_it(address: str) -> None:
    """Plain ones are recognised without it, as it takes longer than all the rest of reading an order."""
    assert judged(Email, address) == judged(Annotated[EmailStr, Field(max_length=254)], address)


def judged(kind: Any, address: str) -> Any:
    """What becomes of the address, or why nothing."""
    try:
        return TypeAdapter(kind).validate_python(address)
    except ValidationError as error:
        return error.errors(include_url=False)


@pytest.mark.parametrize(
    "address",
    [
        f"{'a' * 65}@bakery.example", f"a@{'b' * 64}.example", f"a@{'b.' * 125}example", "postmaster@bakery.example",
        "Postmaster@bakery.example", "a@bakery.TEST", "a@test", "a@x.test", "a@test.example", "a@b--c.example",
        "a@bakery.example\n", " a@bakery.example", "a..b@bakery.example", ".a@bakery.example", "a@.example",
        "Thandi <a@bakery.example>", "a@1.2.3.4", "a@[1.2.3.4]", f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 63}.example",
    ],
)  # fmt: skip
def test_addresses_at_the_edge_are_judged_alike(address: str) -> None:
    """Lengths of parts, reserved names, what is no address at all."""
    assert judged(Email, address) == judged(Annotated[EmailStr, Field(max_length=254)], address)


@pytest.mark.parametrize("reserved", SPECIAL_USE_DOMAIN_NAMES)
def test_no_mail_goes_to_a_reserved_name(reserved: str) -> None:
    """The list is email_validator's, which may grow."""
    with pytest.raises(ValidationError):
        TypeAdapter(Email).validate_python(f"a@bakery.{reserved}")


def test_two_names_for_one_email_are_refused() -> None:
    """Which of two addresses was meant is not ours to guess."""
    with pytest.raises(ValidationError):
        Registration.model_validate({"email": "a@protea.example", "contactEmail": "b@protea.example"})


def test_json_is_camel_case_and_python_names_are_accepted_too() -> None:
    """Services build contracts by Python names, clients read and write camelCase."""
    address = a_billing_address(postal_code="2196")
    assert address.model_dump()["postalCode"] == "2196"
    assert BillingAddress.model_validate(address.model_dump()) == address


def test_a_contract_cannot_be_changed() -> None:
    """A value that somebody changes after the check is a value that was not checked."""
    with pytest.raises(ValidationError, match="frozen"):
        a_billing_address().city = "Durban"  # type: ignore[misc]


def test_the_next_version_says_who_when_and_what_and_leaves_the_rest() -> None:
    """Version, moment and name are counted and noted in one place: no change can forget one of them."""
    order = an_order(version=4)
    changed = order.changed(by="operator", at=PAID_AT, status="CANCELLED", cancellation_reason="as wished")
    assert (changed.version, changed.last_updated_by, changed.date_last_updated) == (5, "operator", PAID_AT)
    assert (changed.status, changed.cancellation_reason) == ("CANCELLED", "as wished")
    record = {"version", "last_updated_by", "date_last_updated", "status", "cancellation_reason"}
    assert changed.model_dump(exclude=record) == order.model_dump(exclude=record)


@pytest.mark.parametrize(
    "fields",
    [{"status": "PAYED"}, {"total_cents": -5}, {"total_cents": 1}, {"items": ()}, {"paid": True}, {"version": "x"}],
)
def test_a_version_that_does_not_hold_is_never_made(fields: dict[str, Any]) -> None:
    """`model_copy` would store an order that nobody can read again, with a status that does not exist."""
    with pytest.raises(ValidationError):
        an_order().replace(**fields)


def test_a_hold_of_a_tenant_takes_its_status_along() -> None:
    """A parked tenant that is still listed as ACTIVE is parked for nobody."""
    tenant, hold = a_tenant(), Hold(since=PAID_AT, by="operator")
    parked = tenant.changed(by="operator", at=PAID_AT, parked=hold)
    deleted = parked.changed(by="operator", at=PAID_AT, deleted=hold)
    restored = deleted.changed(by="operator", at=PAID_AT, deleted=None)
    assert [(each.status, each.active) for each in (parked, deleted, restored)] == [
        ("PARKED", True),
        ("DELETED", False),
        ("PARKED", True),
    ]
    assert restored.parked == hold


@pytest.mark.parametrize("sign", ["\n", "\r", "\x00", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_a_line_holds_no_control_characters(sign: str) -> None:
    """A name with a line break in it could add a header to a mail or a line to a log."""
    with pytest.raises(ValidationError):
        LINES.validate_python(f"Thandi{sign}Bcc: everybody@example.com")


@pytest.mark.parametrize(("length", "accepted"), [(0, False), (1, True), (200, True), (201, False)])
def test_a_line_has_one_to_two_hundred_characters(length: int, accepted: bool) -> None:
    """What does not fit a label, an index key or a mail's subject is refused where it is typed."""
    assert _accepts(LINES, "x" * length) is accepted


def test_spaces_around_a_line_do_not_count() -> None:
    """An organisation of blanks is none, and ` Protea` is Protea."""
    assert LINES.validate_python("  Protea  ") == "Protea"
    assert not _accepts(LINES, "   ")


def test_a_field_may_be_shorter_than_a_line() -> None:
    """A postal code of 17 characters is a mistake in the form, told there."""
    assert a_billing_address(postal_code="x" * 16)
    with pytest.raises(ValidationError, match="postal"):
        a_billing_address(postal_code="x" * 17)


@pytest.mark.parametrize("value", [-1, 1.0, "100", True, 100_000_000_01])
def test_cents_are_whole_and_not_negative(value: Any) -> None:
    """`1.5` or `"100"` as an amount is a client that counts in rand."""
    assert not _accepts(TypeAdapter[int](Cents), value)


@pytest.mark.parametrize("value", ["", "not-an-id", _ID.upper(), _ID.replace("-", ""), f"{_ID}\n", f" {_ID}"])
def test_an_id_has_one_form(value: str) -> None:
    """Ids are parts of keys: two spellings of one id would be two items."""
    assert not _accepts(TypeAdapter[str](Uuid), value)


@given(earlier=MOMENTS, later=MOMENTS, hours=st.integers(-12, 14))
def test_timestamps_sort_as_texts_as_they_do_as_moments(earlier: datetime, later: datetime, hours: int) -> None:
    """Sort keys are texts; one of another width or zone would be found on the wrong page."""
    elsewhere = later.astimezone(timezone(timedelta(hours=hours)))
    by_millisecond = [moment.replace(microsecond=moment.microsecond // 1000 * 1000) for moment in (earlier, elsewhere)]
    assert (iso(earlier) < iso(elsewhere)) == (by_millisecond[0] < by_millisecond[1])
    assert len(iso(earlier)) == len("2026-11-21T19:30:00.123Z")


@given(moment=MOMENTS)
def test_a_timestamp_is_stored_as_it_was_said(moment: datetime) -> None:
    """A value that loses microseconds only when it is stored differs from itself after a read."""
    stamps = TypeAdapter[datetime](Timestamp)
    said = stamps.validate_python(moment)
    assert stamps.validate_json(stamps.dump_json(said)) == said


def test_a_timestamp_needs_a_zone() -> None:
    """19:30 in Johannesburg or in Dublin decides whether a campaign still counts."""
    assert not _accepts(TypeAdapter[datetime](Timestamp), datetime(2026, 11, 21, 19, 30))  # noqa: DTZ001 - the subject


@pytest.mark.parametrize("field", ["total_cents", "tax_cents", "discount_cents"])
def test_an_item_that_does_not_add_up_is_refused(field: str) -> None:
    """An invoice line must add up to the cent, whoever made it."""
    item = an_item(discount_percentage=10).model_dump(by_alias=False)
    with pytest.raises(ValidationError, match="totalCents is not"):
        OrderItem.model_validate(item | {field: item[field] + 1})


@pytest.mark.parametrize("field", ["subtotal_cents", "tax_cents", "total_cents"])
def test_an_order_that_is_not_the_sum_of_its_items_is_refused(field: str) -> None:
    """The amount that PayFast is asked for is the one the lines say."""
    order = an_order(an_item(), an_item(quantity=2)).model_dump(by_alias=False)
    with pytest.raises(ValidationError):
        Order.model_validate(order | {field: order[field] + 1})


def test_a_sum_is_checked_even_when_the_total_adds_up() -> None:
    """Shifting a cent from net to VAT keeps the total and falsifies the tax."""
    order = an_order().model_dump(by_alias=False)
    shifted = {"subtotal_cents": order["subtotal_cents"] - 1, "tax_cents": order["tax_cents"] + 1}
    with pytest.raises(ValidationError, match="not the sum of the items"):
        Order.model_validate(order | shifted)


@pytest.mark.parametrize(("lines", "accepted"), [(0, False), (1, True), (20, True), (21, False)])
def test_an_order_has_one_to_twenty_lines(lines: int, accepted: bool) -> None:
    """Each line reads a product: without an end one request would read the whole catalogue a thousand times."""
    body = {"items": [{"productId": _ID}] * lines, "billingAddress": a_billing_address().model_dump()}
    assert _accepts(TypeAdapter(OrderDraft), body | {"customerEmail": "a@protea.example"}) is accepted


@pytest.mark.parametrize(
    ("percentage", "accepted"),
    [("0", True), ("100", True), ("100.01", False), ("-0.01", False), ("12.5", True), ("12.555", False)],
)
def test_a_discount_is_a_percentage(percentage: str, accepted: bool) -> None:
    """Above a hundred the customer would be paid, below nothing they would pay more than the price."""
    draft = {name: getattr(a_campaign(), name) for name in CampaignDraft.model_fields}
    assert _accepts(TypeAdapter(CampaignDraft), draft | {"discount_percentage": percentage}) is accepted


@pytest.mark.parametrize(
    ("field", "longest"),
    [("token", MAX_TOKEN_CHARS), ("password", MAX_PASSWORD_CHARS)],
)
def test_what_follows_a_link_is_no_longer_than_it_can_be(field: str, longest: int) -> None:
    """Anybody may post here, and each text is hashed or sent on to the pool."""
    body = {"token": "t", "password": "p"}
    assert _accepts(TypeAdapter(Confirmation), body | {field: "x" * longest})
    assert not _accepts(TypeAdapter(Confirmation), body | {field: "x" * (longest + 1)})
    assert not _accepts(TypeAdapter(Confirmation), body | {"password": ""})


@pytest.mark.parametrize(("depth", "accepted"), [(0, False), (1, True), (3, True), (4, False)])
def test_a_hierarchy_is_at_most_three_deep(depth: int, accepted: bool) -> None:
    """A division, a group, a team: below there is no kind for what would stand there."""
    unit = {
        "id": _ID, "tenant_id": _ID, "kind": "TEAM", "name": "South", "path": (_ID,) * depth,
        "date_created": PLACED_AT, "date_last_updated": PLACED_AT, "last_updated_by": "test",
    }  # fmt: skip
    assert _accepts(TypeAdapter(HierarchyUnit), unit) is accepted


def test_versions_count_from_one() -> None:
    """Version 0 is what a client without an ETag would send: nothing may stand at it."""
    assert not _accepts(TypeAdapter(Order), an_order().model_dump(by_alias=False) | {"version": 0})


@pytest.mark.parametrize("status", ["PARKED", "SUSPENDED", "DELETED"])
def test_a_tenants_status_is_the_one_of_its_holds(status: str) -> None:
    """A tenant that is suspended by its status alone is one that nobody can resume."""
    tenant = a_tenant().model_dump(by_alias=False)
    assert not _accepts(TypeAdapter(Tenant), tenant | {"status": status})
    hold = {"since": PLACED_AT, "by": "test"}
    assert _accepts(TypeAdapter(Tenant), tenant | {"status": status, status.lower(): hold})
    assert not _accepts(TypeAdapter(Tenant), tenant | {status.lower(): hold})


@pytest.mark.parametrize("field", ["email", "organizationName", "environment"])
def test_what_every_tenant_has_cannot_be_removed(field: str) -> None:
    """Null in a merge patch removes (RFC 7396): of these three nothing would be left to find the tenant by."""
    with pytest.raises(ValidationError, match="cannot be removed"):
        TenantPatch.model_validate({field: None})
    assert TenantPatch.model_validate({"destinationEmail": None}).changes == {"destination_email": None}


@pytest.mark.parametrize("quantity", [0, -1, 1001, 1.5, "2"])
def test_a_quantity_is_a_whole_number_from_one_to_a_thousand(quantity: Any) -> None:
    """Negative quantities are discounts that nobody gave."""
    line = {"productId": _ID, "quantity": quantity}
    body = {"items": [line], "billingAddress": a_billing_address().model_dump(), "customerEmail": "a@protea.example"}
    with pytest.raises(ValidationError, match="quantity"):
        OrderDraft.model_validate(body)


def test_a_campaign_must_not_end_before_it_starts() -> None:
    """It would apply on no day, which nobody means."""
    campaign = a_campaign()
    draft = {name: getattr(campaign, name) for name in CampaignDraft.model_fields}
    with pytest.raises(ValidationError, match="toDate lies before fromDate"):
        CampaignDraft(**{**draft, "from_date": campaign.to_date, "to_date": campaign.from_date})


def test_a_campaign_applies_on_its_first_and_last_day_and_only_while_active() -> None:
    """A customer who orders on the last day gets the discount."""
    campaign = a_campaign()
    day = timedelta(days=1)
    assert campaign.applies_on(campaign.from_date)
    assert campaign.applies_on(campaign.to_date)
    assert not campaign.applies_on(campaign.from_date - day)
    assert not campaign.applies_on(campaign.to_date + day)
    assert not a_campaign(active=False).applies_on(campaign.from_date)


def test_an_event_of_another_version_is_not_read_as_this_one() -> None:
    """A consumer that guesses at a newer version would lose what is new in it."""
    event = order_created()
    newer = event.model_dump(mode="json") | {"dataschema": "urn:bbws:event:ORDER_CREATED:2"}
    with pytest.raises(ValidationError, match="dataschema"):
        EVENTS[event.schema_urn()].model_validate(newer)


def test_an_invoice_number_grows_beyond_six_digits() -> None:
    """The millionth invoice must not take the first one's number."""
    assert [invoice_number(serial) for serial in (1, 999_999, 1_000_000)] == ["INV-000001", "INV-999999", "INV-1000000"]


def test_a_tenant_shows_no_alias() -> None:
    """`email` is returned, whatever name it came under (C-04)."""
    assert "contactEmail" not in Tenant.model_json_schema()["properties"]


def _accepts(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True
