"""The checker itself: what it must notice, and what it must let pass, on small made-up contracts."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from tests.contracts.compatibility import incompatibilities
from tests.contracts.published import schema_of


class Street(BaseModel):
    name: str


class StreetWithNumber(Street):
    number: int


class Before(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    amount: int
    state: Literal["PLACED", "PAID"] = "PLACED"
    note: str | None = None
    street: Street
    streets: tuple[Street, ...] = ()
    counts: dict[str, int] = {}
    short: Annotated[str, Field(max_length=10)] = ""


def _changed(*removed: str, **fields: Any) -> dict[str, Any]:
    kept = {name: (f.annotation, f) for name, f in Before.model_fields.items() if name not in removed}
    return schema_of(create_model("Before", **{**kept, **fields}))


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (_changed("amount"), "/amount: removed"),
        (_changed(currency=(str, ...)), "/currency: added as required"),
        (_changed(note=(str | None, ...)), "/note: became required"),
        (_changed(amount=(str, ...)), "/amount: type was integer, is string"),
        (_changed(note=(int | None, None)), "/note: type was string or null, is integer or null"),
        (_changed(amount=(int | None, ...)), "/amount: type was integer, is integer or null"),
        (_changed(state=(Literal["PLACED"], "PLACED")), "/state: no longer takes ['PAID']"),
        (_changed(id=(Literal["one"], ...)), "/id: no longer takes everything"),
        (_changed(street=(StreetWithNumber, ...)), "/street/number: added as required"),
        (_changed(streets=(tuple[StreetWithNumber, ...], ())), "/streets/*/number: added as required"),
        (_changed(counts=(dict[str, str], {})), "/counts/*: type was integer, is string"),
        (_changed(short=(Annotated[str, Field(max_length=9)], "")), "/short: maxLength was 10, is 9"),
        (_changed(id=(Annotated[str, Field(pattern="^a")], ...)), "/id: pattern was None, is ^a"),
    ],
)
def test_an_incompatible_change_is_named(changed: dict[str, Any], complaint: str) -> None:
    """What the checker overlooks reaches consumers and stored items of the version before."""
    assert complaint in incompatibilities(schema_of(Before), changed)


@pytest.mark.parametrize(
    "changed",
    [
        _changed(),
        _changed(colour=(str | None, None)),
        _changed(street=(Street, Field(description="told better"))),
        _changed(state=(Literal["PLACED", "PAID", "REFUNDED"], "PLACED")),
        _changed(short=(Annotated[str, Field(max_length=20)], "")),
    ],
)
def test_a_compatible_change_passes(changed: dict[str, Any]) -> None:
    """A checker that cries at every change would soon be switched off."""
    assert incompatibilities(schema_of(Before), changed) == []
