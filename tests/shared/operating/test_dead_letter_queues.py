"""Dead letters seen without harm."""

import orjson
import pytest

from bbws.shared.errors import NotFound
from bbws.shared.operating.dead_letter import NO_REASON
from bbws.shared.operating.dead_letter_choice import Choice
from bbws.shared.operating.dead_letter_queues import DeadLetterQueues
from bbws.shared.sqs import dead_letters as story
from bbws.shared.sqs import wire
from tests.shared.operating.support import OUT_OF_STOCK, QUEUE, STORY, Queue
from tests.support.builders import order_created

pytestmark = pytest.mark.needs("sqs", "dynamodb")
ALL = Choice()


async def test_letters_are_counted_by_reason_and_contract(queues: DeadLetterQueues, dead: Queue) -> None:
    """Twelve of one kind and two of another tell an operator what to mend first; more than one receive holds."""
    event = order_created().to_json().decode()
    for _ in range(12):
        await dead.send(event, STORY)
    await dead.send("{not json", {story.REASON: "does not parse"})
    await dead.send("[]")
    found = {summary.queue: summary for summary in await queues.summaries()}
    assert list(found) == [
        f"{name}-dlq"
        for name in (
            *("customer-notify", "internal-notify", "order-events-rule", "order-pdf", "order-record"),
            "registration-mail-rule",
        )
    ]
    summary = found[f"{QUEUE}-dlq"]
    assert (summary.depth, summary.oldest is not None) == (14, True)
    assert dict(summary.by_reason) == {
        (OUT_OF_STOCK, "urn:bbws:event:ORDER_CREATED:1"): 12,
        ("does not parse", "unreadable"): 1,
        (NO_REASON, "unknown"): 1,
    }
    assert found["order-pdf-dlq"].by_reason == []
    assert len(await dead.messages()) == 14, "listing hid letters from the next reader"


async def test_showing_decodes_and_gives_back(queues: DeadLetterQueues, dead: Queue) -> None:
    """An operator reads what was meant, whatever form it travelled in; the letters stay."""
    event = order_created()
    body, attributes = wire.encode('{"text":"\ufffe"}'.encode(), {})
    await dead.send(event.to_json().decode(), STORY)
    await dead.send(body, typed=attributes)
    await dead.send("!!", {wire.ENCODING: "base64"})
    shown = [letter.shown() for letter in await queues.find(QUEUE, ALL)]
    assert [letter["reason"] for letter in shown] == [OUT_OF_STOCK, NO_REASON, NO_REASON]
    assert shown[0]["body"] == orjson.loads(event.to_json())
    assert shown[0]["headers"][story.HANDLER] == "record"
    assert shown[1]["body"] == {"text": "\ufffe"}
    assert shown[2]["body"] == "!!"
    assert orjson.dumps(shown)
    assert len(await dead.messages()) == 3


async def test_an_unknown_queue_is_told_with_those_that_are_known(queues: DeadLetterQueues) -> None:
    """A slip of the pen must not look like an empty queue."""
    with pytest.raises(NotFound, match=r"no queue order-records; there are .*order-record"):
        await queues.find("order-records", ALL)
