"""Events grow, and producers and consumers are deployed at different times: each reads what the other writes."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bbws.shared.contracts import envelope
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.events import EVENTS, CustomerEvent
from bbws.shared.contracts.sales.order_events import OrderCreated
from bbws.shared.contracts.sales.orders import Order
from tests.contracts.wire import WIRE, event_name, file_name
from tests.support.builders import order_created

FILES = sorted(WIRE.glob("*.json"))
SURPRISE = {"surprise": {"of": ["tomorrow"]}}
of_the_past = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_told", set())


def _told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Which unknown fields of which events the log names."""
    return [(line.__dict__["event_type"], line.__dict__["field"]) for line in caplog.records]


def _kind(file: Path) -> type[Envelope]:
    return EVENTS[json.loads(file.read_bytes())["dataschema"]]


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in it, itself first."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _objects(child)


def _grown(event: Any) -> Iterator[Any]:
    """The event with a field more, in each of its objects, one after the other."""
    for place in range(len(list(_objects(event)))):
        copy = deepcopy(event)
        list(_objects(copy))[place].update(SURPRISE)
        yield copy


def _holds(now: Any, before: Any) -> bool:
    """Everything that was said before is still said."""
    if isinstance(before, Mapping):
        return all(name in now and _holds(now[name], value) for name, value in before.items())
    if isinstance(before, list):
        return len(now) == len(before) and all(map(_holds, now, before))
    return bool(now == before)


def test_every_event_is_kept_as_it_was_on_the_wire() -> None:
    """The first consumer that cannot read a message of last year finds it in the dead letters, not here."""
    assert {file.name.rsplit(".", 2)[0] for file in FILES} == {event_name(event) for event in EVENTS.values()}


@of_the_past
def test_what_was_on_the_wire_is_not_written_anew(file: Path) -> None:
    """A sample that follows the code proves nothing: add another one beside it."""
    assert file.name == file_name(_kind(file), file.read_bytes())


@of_the_past
def test_events_of_yesterday_are_read_for_ever(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A new field has a default, and no field that was sent is forgotten."""
    event = _kind(file).model_validate_json(file.read_bytes())
    assert _holds(json.loads(event.to_json()), json.loads(file.read_bytes()))
    assert _told(caplog) == []


@of_the_past
def test_events_of_tomorrow_are_read_today(file: Path) -> None:
    """A producer that is deployed before its consumers fills no dead letters: what they do not know, they leave out,
    wherever in the event it is."""
    kind, said = _kind(file), json.loads(file.read_bytes())
    event = kind.model_validate(said)
    grown = list(_grown(said))
    assert len(grown) > 1
    for more in grown:
        assert kind.model_validate(more) == event
        assert kind.model_validate_json(json.dumps(more)) == event


def test_a_queue_tells_its_events_apart_when_they_have_grown() -> None:
    """`notify` reads a union of events; both ways of reading must leave out the same."""
    said = json.loads(order_created().to_json())
    queue: TypeAdapter[Envelope] = TypeAdapter(CustomerEvent)
    assert {type(queue.validate_python(more)) for more in _grown(said)} == {OrderCreated}
    assert {type(queue.validate_json(json.dumps(more))) for more in _grown(said)} == {OrderCreated}


def test_an_unknown_field_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody may have misspelt it: the log says so, and not with every message."""
    said = json.loads(order_created().to_json())
    said["data"]["order"]["items"][0] |= SURPRISE
    said["data"]["order"]["items"] *= 2
    for _ in range(3):
        with pytest.raises(ValidationError, match="not the sum"):
            OrderCreated.model_validate(said)
    said["data"]["order"]["items"].pop()
    for _ in range(3):
        OrderCreated.model_validate(said)
    assert _told(caplog) == [("ORDER_CREATED", "data.order.items.*.surprise")]


def test_names_of_unknown_fields_fill_neither_log_nor_memory(caplog: pytest.LogCaptureFixture) -> None:
    """They come from outside: each message may bring another one, of any length."""
    said = json.loads(order_created().to_json())
    for number in range(1000):
        OrderCreated.model_validate(said | {f"{number}{'x' * 10_000}": 1})
    assert len(_told(caplog)) == len(envelope._told) == envelope._MAX_TOLD
    assert max(len(field) for _, field in _told(caplog)) <= 200
    # Whoever looks for a field that is not there learns why.
    assert ["of no others" in line.getMessage() for line in caplog.records] == [False] * 99 + [True]


def test_what_is_wrong_besides_is_refused() -> None:
    """A newer producer is forgiven what it adds, and nothing else."""
    said = json.loads(order_created().to_json())
    said["data"]["order"] |= {**SURPRISE, "totalCents": "many"}
    with pytest.raises(ValidationError) as refused:
        OrderCreated.model_validate(said)
    assert [error["loc"] for error in refused.value.errors()] == [("data", "order", "totalCents")]


def test_the_same_values_outside_of_an_event_stay_strict() -> None:
    """Bodies of requests and stored items are read by who knows them: there an unknown field is a mistake."""
    with pytest.raises(ValidationError, match="surprise"):
        Order.model_validate(json.loads(order_created().to_json())["data"]["order"] | SURPRISE)
