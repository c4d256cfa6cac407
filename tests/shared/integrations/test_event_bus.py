"""The bus: an event that it did not take is never called published."""

import pytest

from bbws.shared.errors import Unavailable
from bbws.shared.integrations.event_bus import EventBus
from tests.support.builders import order_created
from tests.support.scripted import Scripted, refusal

BUS = "bbws-events-local"


async def test_an_event_goes_to_its_bus_with_what_rules_look_at() -> None:
    """An entry that names another bus, source or type is met by no rule, and nobody is told."""
    events, event = Scripted({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}), order_created()
    await EventBus(events, BUS).publish(event, event.to_json())
    ((_, request),) = events.asked
    (entry,) = request["Entries"]
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == (BUS, "bbws.payment", "ORDER_CREATED")
    assert entry["Detail"].encode() == event.to_json()


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure", "NotAuthorizedForSourceException"])
async def test_an_entry_that_failed_in_a_good_answer_is_not_published(code: str) -> None:
    """PutEvents answers 200 all the same: whoever looks at the status alone loses a paid order."""
    event = order_created()
    events = Scripted({"FailedEntryCount": 1, "Entries": [{"ErrorCode": code, "ErrorMessage": "try again"}]})
    with pytest.raises(Unavailable, match=code) as out:
        await EventBus(events, BUS).publish(event, event.to_json())
    assert out.value.dependency == "events"


@pytest.mark.parametrize("error", [refusal("ResourceNotFoundException"), refusal("AccessDeniedException")])
async def test_a_bus_that_cannot_be_used_is_out(error: Exception) -> None:
    """Nothing of ours can mend a bus that is gone: readiness says so, and nobody starts work on it."""
    with pytest.raises(Unavailable, match="events"):
        await EventBus(Scripted(error), BUS).ping()
    await EventBus(Scripted({}), BUS).ping()
