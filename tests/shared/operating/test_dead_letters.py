"""Dead letters: seen without harm, sent back as they were, or dropped."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
import pytest
import pytest_asyncio

from bbws.shared.errors import Conflict, NotFound
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.operating.dead_letters import UNTOLD, DeadLetter, DeadLetters
from bbws.shared.settings import Settings
from bbws.shared.sqs import dead_letters as story
from bbws.shared.sqs import wire
from bbws.shared.topology import Topology
from tests.support.builders import order_created

pytestmark = pytest.mark.needs("sqs")
QUEUE = "order-record"
OUT_OF_STOCK = "Conflict: out of stock"
STORY = {story.REASON: OUT_OF_STOCK, story.HANDLER: "record", story.RECEIVE_COUNT: "3", story.MESSAGE_ID: "m-1"}


@pytest_asyncio.fixture
async def dead_letters(clients: AwsClients, settings: Settings) -> DeadLetters:
    sqs, topology = await clients.get("sqs"), Topology.for_settings(settings)
    for queue in topology.queues:
        for name in (queue.name, queue.dead_letter_name):
            await sqs.create_queue(QueueName=name)
    for rule in topology.rules:
        await sqs.create_queue(QueueName=rule.dead_letter_queue)
    return DeadLetters(sqs, topology)


class Queue:
    """One queue as AWS shows it, without our own reading of it."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url

    async def send(
        self, body: str, texts: Mapping[str, str] | None = None, typed: Mapping[str, Any] | None = None
    ) -> None:
        packed = wire.pack(texts or {}, typed)
        await self._sqs.send_message(QueueUrl=self._url, MessageBody=body, MessageAttributes=packed)

    async def bodies(self) -> list[str]:
        return sorted(message["Body"] for message in await self.messages())

    async def messages(self) -> list[dict[str, Any]]:
        """All that are visible now; they stay so."""
        found: dict[str, dict[str, Any]] = {}
        receive = partial(self._sqs.receive_message, QueueUrl=self._url, MaxNumberOfMessages=10)
        while received := (await receive(MessageAttributeNames=["All"])).get("Messages"):
            found |= {message["MessageId"]: message for message in received}
        for message in found.values():
            await self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return list(found.values())


async def _queue(clients: AwsClients, name: str) -> Queue:
    sqs = await clients.get("sqs")
    return Queue(sqs, (await sqs.get_queue_url(QueueName=name))["QueueUrl"])


@pytest_asyncio.fixture
async def dead(clients: AwsClients, dead_letters: DeadLetters) -> Queue:
    return await _queue(clients, f"{QUEUE}-dlq")


@pytest_asyncio.fixture
async def source(clients: AwsClients, dead_letters: DeadLetters) -> Queue:
    return await _queue(clients, QUEUE)


def _all(_: DeadLetter) -> bool:
    return True


def _out_of_stock(letter: DeadLetter) -> bool:
    return letter.reason == OUT_OF_STOCK


async def test_letters_are_counted_by_reason_and_contract(dead_letters: DeadLetters, dead: Queue) -> None:
    """Twelve of one kind and two of another tell an operator what to mend first; more than one receive holds."""
    event = order_created().to_json().decode()
    for _ in range(12):
        await dead.send(event, STORY)
    await dead.send("{not json", {story.REASON: "does not parse"})
    await dead.send("[]")
    found = {summary.queue: summary for summary in await dead_letters.summaries()}
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
        (UNTOLD, "unknown"): 1,
    }
    assert found["order-pdf-dlq"].by_reason == []
    assert len(await dead.messages()) == 14, "listing hid letters from the next reader"


async def test_showing_decodes_and_gives_back(dead_letters: DeadLetters, dead: Queue) -> None:
    """An operator reads what was meant, whatever form it travelled in; the letters stay."""
    event = order_created()
    body, attributes = wire.encode('{"text":"\ufffe"}'.encode(), {})
    await dead.send(event.to_json().decode(), STORY)
    await dead.send(body, typed=attributes)
    await dead.send("!!", {wire.ENCODING: "base64"})
    shown = [letter.told() for letter in await dead_letters.find(QUEUE, _all)]
    assert [letter["reason"] for letter in shown] == [OUT_OF_STOCK, UNTOLD, UNTOLD]
    assert shown[0]["body"] == orjson.loads(event.to_json())
    assert shown[0]["headers"][story.HANDLER] == "record"
    assert shown[1]["body"] == {"text": "\ufffe"}
    assert shown[2]["body"] == "!!"
    assert orjson.dumps(shown)
    assert len(await dead.messages()) == 3


async def test_redriving_sends_the_original_back_without_its_story(
    dead_letters: DeadLetters, dead: Queue, source: Queue
) -> None:
    """A message that looks like a dead letter would be read as one; its own attributes keep name, type and value."""
    own = {
        "count": {"DataType": "Number", "StringValue": "7"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    texts = {f"text-{n}": str(n) for n in range(8)}
    await dead.send("original", texts | STORY | {"correlation_id": "order-1"}, own)
    assert await dead_letters.redrive(QUEUE, _all) == 1
    (message,) = await source.messages()
    assert message["Body"] == "original"
    attributes = message["MessageAttributes"]
    assert {name: attributes[name] for name in own} == own
    assert wire.unpack(attributes) == {"count": "7", "raw": b"\x00\xff", **texts, "correlation_id": "order-1"}
    assert await dead.messages() == []


async def test_only_what_is_chosen_is_redriven_or_dropped(
    dead_letters: DeadLetters, dead: Queue, source: Queue
) -> None:
    """The rest waits for its own repair, visible at once."""
    await dead.send("one", STORY)
    await dead.send("two", {story.REASON: "other"})
    await dead.send("three", {story.REASON: "other"})
    assert await dead_letters.redrive(QUEUE, _out_of_stock) == 1
    assert (await source.bodies(), await dead.bodies()) == (["one"], ["three", "two"])
    two = next(letter for letter in await dead_letters.find(QUEUE, _all) if letter.body == "two")
    assert await dead_letters.drop(f"{QUEUE}-dlq", lambda letter: letter.id == two.id) == 1
    assert (await source.bodies(), await dead.bodies()) == (["one"], ["three"])
    assert await dead_letters.drop(QUEUE, _out_of_stock) == 0


async def test_more_than_ten_letters_are_redriven(dead_letters: DeadLetters, dead: Queue, source: Queue) -> None:
    """One receive gives ten; an outage leaves hundreds."""
    bodies = [f"letter {number:02d}" for number in range(23)]
    for body in bodies:
        await dead.send(body)
    assert await dead_letters.redrive(QUEUE, _all) == 23
    assert (await source.bodies(), await dead.bodies()) == (bodies, [])


async def test_an_unknown_queue_is_told_with_those_that_are_known(dead_letters: DeadLetters) -> None:
    """A slip of the pen must not look like an empty queue."""
    with pytest.raises(NotFound, match=r"no queue order-records; there are .*order-record"):
        await dead_letters.find("order-records", _all)


async def test_an_event_that_eventbridge_could_not_deliver_is_shown_kept_and_dropped(
    dead_letters: DeadLetters, clients: AwsClients
) -> None:
    """It never was in a queue: a redrive says what to do instead, and leaves it where it is."""
    dead = await _queue(clients, "order-events-rule-dlq")
    code, text = "NO_PERMISSIONS", "not authorised to publish"
    await dead.send('{"detail":{}}', {"ERROR_CODE": code, "ERROR_MESSAGE": text})
    (letter,) = await dead_letters.find("order-events-rule", _all)
    assert letter.reason == f"not delivered: {code}: {text}"
    with pytest.raises(Conflict, match="on the bus again"):
        await dead_letters.redrive("order-events-rule", _all)
    assert len(await dead.messages()) == 1
    assert await dead_letters.drop("order-events-rule-dlq", _all) == 1
    assert await dead.messages() == []


async def _depth(dead_letters: DeadLetters) -> int:
    """Dead letters of the queue, hidden ones too."""
    return next(summary.depth for summary in await dead_letters.summaries() if summary.queue == f"{QUEUE}-dlq")


async def test_an_edited_letter_keeps_its_headers_and_its_story(dead_letters: DeadLetters, dead: Queue) -> None:
    """A typing error in an address is mended in the payload; correlation id and types of attributes survive."""
    own = {"count": {"DataType": "Number", "StringValue": "7"}}
    await dead.send('{"to":"bad"}', STORY | {"correlation_id": "order-1"}, own)
    await dead.send("other", STORY)
    [letter] = await dead_letters.find(QUEUE, lambda letter: letter.body != "other")
    edited = await dead_letters.edit(QUEUE, letter.id, b'{"to":"good"}')
    messages = {message["Body"]: message for message in await dead.messages()}
    assert set(messages) == {'{"to":"good"}', "other"}
    assert await _depth(dead_letters) == 2
    assert messages['{"to":"good"}']["MessageId"] == edited
    assert messages['{"to":"good"}']["MessageAttributes"] == letter.attributes


async def test_an_edited_body_gets_the_form_it_needs(dead_letters: DeadLetters, dead: Queue) -> None:
    """A body that travelled as base64 may be plain afterwards, and one that SQS would refuse is encoded."""
    text, attributes = wire.encode(b"\x00\x01", {})
    await dead.send(text, STORY, attributes)
    [letter] = await dead_letters.find(QUEUE, _all)
    await dead_letters.edit(QUEUE, letter.id, b"plain")
    [plain] = await dead_letters.find(QUEUE, _all)
    assert (plain.body, wire.ENCODING in plain.headers) == ("plain", False)
    await dead_letters.edit(QUEUE, plain.id, b"\xff")
    [encoded] = await dead_letters.find(QUEUE, _all)
    assert wire.decode(encoded.body, dict(encoded.headers)) == b"\xff"


async def test_an_edit_that_nobody_could_read_is_refused(dead_letters: DeadLetters, dead: Queue) -> None:
    """The letter stays as it was."""
    await dead.send('{"to":1}', STORY)
    [letter] = await dead_letters.find(QUEUE, _all)
    with pytest.raises(Conflict):
        await dead_letters.edit(QUEUE, letter.id, b'{"to":')
    with pytest.raises(NotFound):
        await dead_letters.edit(QUEUE, "nobody", b"{}")
    assert await dead.bodies() == ['{"to":1}']


async def test_an_archive_has_all_that_a_repair_needs(dead_letters: DeadLetters, dead: Queue) -> None:
    """What is archived is out of the queue, and could be sent again as it was."""
    raw = {"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    await dead.send('{"a":1}', STORY, raw)
    await dead.send("stays", {story.REASON: "other"})
    stored: list[bytes] = []

    async def store(lines: bytes) -> str:
        stored.append(lines)
        return "there"

    assert await dead_letters.archive(QUEUE, _out_of_stock, store) == 1
    [line] = [orjson.loads(line) for line in stored[0].splitlines()]
    assert (line["reason"], line["body"], line["raw"]["body"]) == (OUT_OF_STOCK, {"a": 1}, '{"a":1}')
    assert line["raw"]["attributes"]["raw"] == {"DataType": "Binary", "BinaryValue": "AP8="}
    assert await dead.bodies() == ["stays"]
    assert await _depth(dead_letters) == 1


async def test_an_archive_that_cannot_be_written_loses_nothing(dead_letters: DeadLetters, dead: Queue) -> None:
    """Stored first, deleted then."""
    await dead.send("one", STORY)

    async def store(lines: bytes) -> str:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await dead_letters.archive(QUEUE, _all, store)
    assert await dead.bodies() == ["one"]


async def test_a_rate_spares_the_consumers(dead_letters: DeadLetters, dead: Queue, source: Queue) -> None:
    """Two per second take two and a half seconds for five; receiving all of them takes one."""
    for number in range(5):
        await dead.send(str(number), STORY)
    began = time.monotonic()
    assert await dead_letters.redrive(QUEUE, _all, per_second=2) == 5
    assert time.monotonic() - began >= 2.5
    assert await source.bodies() == ["0", "1", "2", "3", "4"]


async def test_what_waits_for_its_turn_stays_hidden(
    dead_letters: DeadLetters, dead: Queue, source: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow redrive outlasts the holding of its letters: it holds on to them, or each would be sent twice."""
    monkeypatch.setattr("bbws.shared.operating.dead_letters.HOLD_S", 4)
    for number in range(6):
        await dead.send(str(number), STORY)
    redriving = asyncio.create_task(dead_letters.redrive(QUEUE, _all, per_second=1.2))
    seen: list[str] = []
    while not redriving.done():
        if await source.messages():
            seen += await dead.bodies()
        await asyncio.wait([redriving], timeout=0.2)
    assert await redriving == 6
    assert seen == []
