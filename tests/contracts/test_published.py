"""Golden samples and schemas: a published version never changes incompatibly."""

import json
from functools import reduce
from operator import or_
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from bbws.shared.contracts.base import Contract, Record
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.events import EVENTS
from tests.contracts.compatibility import incompatibilities
from tests.contracts.published import DRAFTS, PUBLISHED, SAMPLES, SCHEMAS, schema_of

NAMES = sorted(PUBLISHED)
_ANY_EVENT: Any = Annotated[reduce(or_, EVENTS.values()), Field(discriminator="type")]
EVENT_NAMES = [f"{event.TYPE}.v{event.VERSION}" for event in EVENTS.values()]


def _sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def _written(model: BaseModel) -> Any:
    text = model.to_json() if isinstance(model, Envelope) else model.model_dump_json(exclude_none=True)
    return json.loads(text)


def test_every_published_contract_has_a_sample_and_a_schema_and_nothing_else_does() -> None:
    """A contract without a sample is one that nobody would notice breaking."""
    assert sorted(path.stem for path in SAMPLES.glob("*.json")) == NAMES
    assert sorted(path.stem for path in SCHEMAS.glob("*.json")) == NAMES


def test_every_stored_resource_is_published() -> None:
    """Whoever adds a record is told to add its sample: items of today must be read next year."""
    stored = {kind for kind in Record.__subclasses__() if kind.__module__.startswith("bbws.")}
    assert stored - set(PUBLISHED.values()) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_read_and_written_again_as_it_was(name: str) -> None:
    """What was stored or sent under a published version must be read without loss for as long as it exists."""
    sample = _sample(name)
    assert _written(PUBLISHED[name].model_validate_json(json.dumps(sample))) == sample


@pytest.mark.parametrize("name", [name for name in NAMES if issubclass(PUBLISHED[name], Contract)])
def test_a_copy_with_no_other_fields_is_the_same(name: str) -> None:
    """A change of one field that turns another one round, a date or a list, is noticed by nobody."""
    contract = PUBLISHED[name].model_validate(_sample(name))
    assert isinstance(contract, Contract)
    assert contract.replace() == contract


@pytest.mark.parametrize("name", EVENT_NAMES)
def test_an_event_is_found_by_its_schema_and_by_its_type(name: str) -> None:
    """The outbox finds the class by `dataschema`, consumers by `type`; both must agree."""
    sample = _sample(name)
    found: Envelope = TypeAdapter[Envelope](_ANY_EVENT).validate_python(sample)
    assert type(found) is EVENTS[sample["dataschema"]]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in EVENT_NAMES])
def test_an_unknown_field_is_refused(name: str) -> None:
    """A misspelt field that is silently dropped is an order with the wrong quantity; of events see test_growing."""
    with pytest.raises(ValidationError, match="surprise"):
        PUBLISHED[name].model_validate(_sample(name) | {"surprise": 1})


@pytest.mark.parametrize("name", NAMES)
def test_a_published_contract_changes_compatibly_or_gets_a_new_version(name: str) -> None:
    """Deployed consumers, queued messages and stored items follow the schema that was published."""
    before = json.loads((SCHEMAS / f"{name}.json").read_text())
    now = schema_of(PUBLISHED[name])
    if broken := incompatibilities(before, now):
        pytest.fail(_advice(name, broken))
    assert now == before, (
        f"{name} changed compatibly; record it with `python -m tests.contracts.published` and commit "
        f"{SCHEMAS.name}/{name}.json, so that the next change is compared with this one"
    )


def _advice(name: str, broken: list[str]) -> str:
    advice = (
        "clients send the old form: make the field optional, or offer a new path"
        if PUBLISHED[name] in DRAFTS
        else "messages and items of this version exist: leave it as it is and add a new version beside it "
        "(VERSION and dataschema of an event, with its own entry in EVENTS), or make the field optional"
    )
    return f"{name} changed incompatibly; {advice}.\n  " + "\n  ".join(broken)
