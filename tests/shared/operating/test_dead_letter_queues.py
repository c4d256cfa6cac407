"""Dead letters seen without harm."""

import time

import orjson
import pytest

from bbws.shared.bootstrap import Services
from bbws.shared.errors import NotFound
from bbws.shared.integrations.aws import AwsClients
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


async def test_letters_that_somebody_else_looks_at_are_counted(
    queues: DeadLetterQueues, dead: Queue, clients: AwsClients
) -> None:
    """A queue that an operator has open at this moment is not an empty one."""
    for body in ("one", "two"):
        await dead.send(body)
    sqs = await clients.get("sqs")
    url = (await sqs.get_queue_url(QueueName=f"{QUEUE}-dlq"))["QueueUrl"]
    await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
    summary = next(each for each in await queues.summaries() if each.queue == f"{QUEUE}-dlq")
    assert (summary.depth, len(await queues.find(QUEUE, ALL))) == (2, 1)


async def test_no_more_is_held_than_can_be_given_back_in_time(
    queues: DeadLetterQueues, dead: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receiving a million letters would outlast the hiding of the first; those behind are not touched."""
    monkeypatch.setattr("bbws.shared.operating.dead_letter_queues.MAX_HELD", 10)
    for number in range(23):
        await dead.send(f"{number:02d}")
    assert len(await queues.find(QUEUE, ALL)) == 10


async def test_an_empty_queue_is_asked_by_a_long_poll_of_a_second(services: Services) -> None:
    """Only a long poll asks all of SQS's servers; a longer one would make an operator wait for nothing."""
    queues = DeadLetterQueues(services.queues, services.topology, wait_s=20)
    began = time.monotonic()
    assert await queues.find(QUEUE, ALL) == []
    assert 0.9 <= time.monotonic() - began < 15


async def test_a_reason_is_found_by_a_part_of_it_in_any_case(queues: DeadLetterQueues, dead: Queue) -> None:
    """Nobody types a whole reason, nor looks up how it was spelt."""
    await dead.send("one", STORY)
    await dead.send("two", {story.REASON: "other"})
    assert [letter.body for letter in await queues.find(QUEUE, Choice(reason="OUT of"))] == ["one"]
    assert await queues.find(QUEUE, Choice(reason="sold out")) == []


async def test_an_unknown_queue_is_told_with_those_that_are_known(queues: DeadLetterQueues) -> None:
    """A slip of the pen must not look like an empty queue."""
    with pytest.raises(NotFound, match=r"no queue order-records; there are .*order-record"):
        await queues.find("order-records", ALL)
