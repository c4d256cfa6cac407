"""The order form: its fields, how the contracts read them, and which sentence stands beside which field."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from bbws.gateway.requests import json_pointer
from bbws.gateway.storefront.countries import NAMES
from bbws.shared.contracts.sales.orders import OrderDraft
from bbws.shared.contracts.tenancy.tenants import Registration
from bbws.shared.errors import BadRequest, FieldError, Invalid, Rejected

# The form has 13 fields; whoever sends many more is no browser.
MAX_FIELDS = 50
MAX_FORM_BYTES = 16 * 1024
WHOLE_FORM = ""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form: where the contracts keep its value, and what to say when they refuse it."""

    name: str
    pointer: str
    wanted: str


_FIELDS = (
    Field("quantity", "#/items/0/quantity", "Enter a whole number from 1 to 1000."),
    Field("campaign", "#/campaignCode", "A campaign code has 2 to 40 letters, digits, dashes or underscores."),
    Field("company", "#/organizationName", "A company name has at most 120 characters."),
    Field("email", "#/customerEmail", "Enter an e-mail address, such as name@example.com."),
    Field("name", "#/billingAddress/name", "Enter the name that the invoice should show, at most 120 characters."),
    Field("line1", "#/billingAddress/line1", "Enter street and number, at most 120 characters."),
    Field("line2", "#/billingAddress/line2", "The second line has at most 120 characters."),
    Field("city", "#/billingAddress/city", "Enter the city or town, at most 80 characters."),
    Field("postal_code", "#/billingAddress/postalCode", "Enter the postal code, at most 16 characters."),
    Field("country", "#/billingAddress/country", "Choose a country from the list."),
    Field("vat_number", "#/billingAddress/vatNumber", "A South African VAT number has ten digits and starts with 4."),
)
NAMES_OF_FIELDS = tuple(field.name for field in _FIELDS)
_BY_POINTER = {field.pointer: field for field in _FIELDS} | {"#/email": _FIELDS[3], "#/items": _FIELDS[0]}
_DEFAULTS = {"quantity": "1", "country": "ZA"}


def parse(raw: bytes) -> dict[str, str]:
    """The posted fields, of a repeated one the first. Raises BadRequest for what is no form."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise BadRequest(f"The body is no form: {error}") from None
    return dict(reversed(pairs))


def values_of(posted: Mapping[str, str]) -> dict[str, str]:
    """What the form shows: all that was entered, defaults for the rest."""
    return {name: posted.get(name, _DEFAULTS.get(name, "")) for name in NAMES_OF_FIELDS}


@dataclass(frozen=True, slots=True)
class Wanted:
    draft: OrderDraft
    registration: Registration


def read(values: Mapping[str, str], product_id: str, found: Sequence[FieldError] = ()) -> Wanted:
    """What the customer wants, as the contracts say it. Raises Invalid with every field error, `found` among them."""
    filled = {name: value.strip() for name, value in values.items() if value.strip()}
    errors = list(found)
    draft = _checked(lambda: OrderDraft.model_validate(_draft(filled, product_id)), errors)
    registration = _checked(lambda: Registration.model_validate(_registration(filled)), errors)
    if filled.get("country", "ZA") not in NAMES:
        errors.append(FieldError("#/billingAddress/country", "is no country"))
    if errors or draft is None or registration is None:
        raise Invalid("Some fields need another look.", errors)
    return Wanted(draft, registration)


def _checked(make: Callable[[], M], errors: list[FieldError]) -> M | None:
    try:
        return make()
    except ValidationError as refused:
        errors += [FieldError(json_pointer(each["loc"]), each["msg"]) for each in refused.errors(include_url=False)]
        return None


def _draft(filled: Mapping[str, str], product_id: str) -> dict[str, Any]:
    address = {
        field.pointer.rsplit("/", 1)[1]: filled[field.name]
        for field in _FIELDS
        if field.pointer.startswith("#/billingAddress/") and field.name in filled
    }
    return {
        "items": [{"productId": product_id, "quantity": _whole(filled.get("quantity", ""))}],
        "campaignCode": filled.get("campaign"),
        "billingAddress": address,
        "customerEmail": filled.get("email"),
    }


def _registration(filled: Mapping[str, str]) -> dict[str, Any]:
    return {"email": filled.get("email"), "organizationName": filled.get("company")}


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0


def sentences(refused: Rejected) -> dict[str, str]:
    """For each wrong field what to do about it; `WHOLE_FORM` for what belongs to no field."""
    return dict(_sentences(refused)) or {WHOLE_FORM: refused.detail}


def _sentences(refused: Rejected) -> Iterable[tuple[str, str]]:
    for error in refused.errors:
        field = _BY_POINTER.get(error.pointer)
        if field is None:
            yield WHOLE_FORM, "This product cannot be ordered just now."
        else:
            yield field.name, _sentence(field, error, refused)


def _sentence(field: Field, error: FieldError, refused: Rejected) -> str:
    match error.pointer, error.detail:
        case "#/items", amount:
            return f"These items {amount}: {refused.detail}."
        case "#/campaignCode", detail if detail.startswith("is "):
            return f"This code {detail}."
        case _:
            return field.wanted
