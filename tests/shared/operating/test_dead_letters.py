"""Dead letters sent back as they were, mended, archived or dropped."""

import asyncio
import time
from pathlib import Path

import orjson
import pytest
from botocore.exceptions import ClientError

from bbws.shared.errors import Conflict, NotFound
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.operating.dead_letter_choice import Choice
from bbws.shared.operating.dead_letters import DeadLetters
from bbws.shared.sqs import dead_letters as story
from bbws.shared.sqs import wire
from tests.shared.operating.support import OUT_OF_STOCK, QUEUE, STORY, Queue
from tests.support.emulator import Aws

pytestmark = pytest.mark.needs("sqs", "dynamodb")
ACTOR = "cli:thabo"
ALL = Choice()


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
    assert await dead_letters.redrive(QUEUE, ALL, actor=ACTOR) == 1
    (message,) = await source.messages()
    assert message["Body"] == "original"
    attributes = message["MessageAttributes"]
    assert {name: attributes[name] for name in own} == own
    assert wire.unpack(attributes) == {"count": 7, "raw": b"\x00\xff", **texts, "correlation_id": "order-1"}
    assert await dead.messages() == []


async def test_only_what_is_chosen_is_redriven_or_dropped(
    dead_letters: DeadLetters, dead: Queue, source: Queue
) -> None:
    """The rest waits for its own repair, visible at once."""
    await dead.send("one", STORY)
    await dead.send("two", {story.REASON: "other"})
    await dead.send("three", {story.REASON: "other"})
    assert await dead_letters.redrive(QUEUE, Choice(reason=OUT_OF_STOCK), actor=ACTOR) == 1
    assert (await source.bodies(), await dead.bodies()) == (["one"], ["three", "two"])
    two = next(letter for letter in await dead_letters.queues.find(QUEUE, ALL) if letter.body == "two")
    assert await dead_letters.drop(f"{QUEUE}-dlq", Choice(message_id=two.id), actor=ACTOR) == 1
    assert (await source.bodies(), await dead.bodies()) == (["one"], ["three"])
    assert await dead_letters.drop(QUEUE, Choice(reason=OUT_OF_STOCK), actor=ACTOR) == 0


async def test_more_than_ten_letters_are_redriven(dead_letters: DeadLetters, dead: Queue, source: Queue) -> None:
    """One receive gives ten; an outage leaves hundreds."""
    bodies = [f"letter {number:02d}" for number in range(23)]
    for body in bodies:
        await dead.send(body)
    assert await dead_letters.redrive(QUEUE, ALL, actor=ACTOR) == 23
    assert (await source.bodies(), await dead.bodies()) == (bodies, [])


async def test_an_event_that_eventbridge_could_not_deliver_is_shown_kept_and_dropped(
    dead_letters: DeadLetters, clients: AwsClients
) -> None:
    """It never was in a queue: a redrive says what to do instead, and leaves it where it is."""
    dead = await Queue.named(clients, "order-events-rule-dlq")
    code, text = "NO_PERMISSIONS", "not authorised to publish"
    await dead.send('{"detail":{}}', {"ERROR_CODE": code, "ERROR_MESSAGE": text})
    (letter,) = await dead_letters.queues.find("order-events-rule", ALL)
    assert letter.reason == f"not delivered: {code}: {text}"
    with pytest.raises(Conflict, match="on the bus again"):
        await dead_letters.redrive("order-events-rule", ALL, actor=ACTOR)
    assert len(await dead.messages()) == 1
    assert await dead_letters.drop("order-events-rule-dlq", ALL, actor=ACTOR) == 1
    assert await dead.messages() == []


async def _depth(dead_letters: DeadLetters) -> int:
    """Dead letters of the queue, hidden ones too."""
    return next(summary.depth for summary in await dead_letters.queues.summaries() if summary.queue == f"{QUEUE}-dlq")


async def test_an_edited_letter_keeps_its_headers_and_its_story(dead_letters: DeadLetters, dead: Queue) -> None:
    """A typing error in an address is mended in the payload; correlation id and types of attributes survive."""
    own = {"count": {"DataType": "Number", "StringValue": "7"}}
    await dead.send('{"to":"bad"}', STORY | {"correlation_id": "order-1"}, own)
    await dead.send("other", {story.REASON: "other"})
    [letter] = await dead_letters.queues.find(QUEUE, Choice(reason=OUT_OF_STOCK))
    edited = await dead_letters.edit(QUEUE, letter.id, b'{"to":"good"}', actor=ACTOR)
    messages = {message["Body"]: message for message in await dead.messages()}
    assert set(messages) == {'{"to":"good"}', "other"}
    assert await _depth(dead_letters) == 2
    assert messages['{"to":"good"}']["MessageId"] == edited
    assert messages['{"to":"good"}']["MessageAttributes"] == letter.attributes


async def test_an_edited_body_gets_the_form_it_needs(dead_letters: DeadLetters, dead: Queue) -> None:
    """A body that travelled as base64 may be plain afterwards, and one that SQS would refuse is encoded."""
    text, attributes = wire.encode(b"\x00\x01", {})
    await dead.send(text, STORY, attributes)
    [letter] = await dead_letters.queues.find(QUEUE, ALL)
    await dead_letters.edit(QUEUE, letter.id, b"plain", actor=ACTOR)
    [plain] = await dead_letters.queues.find(QUEUE, ALL)
    assert (plain.body, wire.ENCODING in plain.headers) == ("plain", False)
    await dead_letters.edit(QUEUE, plain.id, b"\xff", actor=ACTOR)
    [encoded] = await dead_letters.queues.find(QUEUE, ALL)
    assert wire.decode(encoded.body, dict(encoded.headers)) == b"\xff"


async def test_an_edit_that_nobody_could_read_is_refused(dead_letters: DeadLetters, dead: Queue) -> None:
    """The letter stays as it was."""
    await dead.send('{"to":1}', STORY)
    [letter] = await dead_letters.queues.find(QUEUE, ALL)
    with pytest.raises(Conflict):
        await dead_letters.edit(QUEUE, letter.id, b'{"to":', actor=ACTOR)
    with pytest.raises(NotFound):
        await dead_letters.edit(QUEUE, "nobody", b"{}", actor=ACTOR)
    assert await dead.bodies() == ['{"to":1}']


async def test_an_archive_has_all_that_a_repair_needs(dead_letters: DeadLetters, dead: Queue, tmp_path: Path) -> None:
    """What is archived is out of the queue, and could be sent again as it was."""
    raw = {"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    await dead.send('{"a":1}', STORY, raw)
    await dead.send("stays", {story.REASON: "other"})
    file = tmp_path / "letters.jsonl"
    file.write_text('"an earlier one"\n')
    assert await dead_letters.archive(QUEUE, Choice(reason=OUT_OF_STOCK), actor=ACTOR, file=file) == 1
    earlier, line = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert earlier == "an earlier one"
    assert (line["reason"], line["body"], line["raw"]["body"]) == (OUT_OF_STOCK, {"a": 1}, '{"a":1}')
    assert line["raw"]["attributes"]["raw"] == {"DataType": "Binary", "BinaryValue": "AP8="}
    assert await dead.bodies() == ["stays"]
    assert await _depth(dead_letters) == 1


@pytest.mark.needs("faults")
async def test_an_archive_that_cannot_be_written_loses_nothing(
    dead_letters: DeadLetters, dead: Queue, aws: Aws, tmp_path: Path
) -> None:
    """Stored first, deleted then; here the bucket refuses, and the folder is not there."""
    await dead.send("one", STORY)
    await aws.inject("s3", status=403, code="AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        await dead_letters.archive(QUEUE, ALL, actor=ACTOR)
    with pytest.raises(FileNotFoundError):
        await dead_letters.archive(QUEUE, ALL, actor=ACTOR, file=tmp_path / "nowhere" / "letters.jsonl")
    assert await dead.bodies() == ["one"]


@pytest.mark.needs("faults")
async def test_what_cannot_be_sent_stays_dead(dead_letters: DeadLetters, dead: Queue, source: Queue, aws: Aws) -> None:
    """Sent first, deleted then: in between a letter is in two places, never in none."""
    await dead.send("one", STORY)
    (letter,) = await dead_letters.queues.find(QUEUE, ALL)
    await aws.inject("sqs", operation="SendMessage", status=403, code="AccessDenied")
    with pytest.raises(ClientError):
        await dead_letters.redrive(QUEUE, ALL, actor=ACTOR)
    with pytest.raises(ClientError):
        await dead_letters.edit(QUEUE, letter.id, b"two", actor=ACTOR)
    await aws.heal()
    assert (await source.bodies(), await dead.bodies()) == ([], ["one"])


async def test_a_rate_spares_the_consumers(dead_letters: DeadLetters, dead: Queue, source: Queue) -> None:
    """Two per second take two and a half seconds for five; receiving all of them takes one."""
    for number in range(5):
        await dead.send(str(number), STORY)
    began = time.monotonic()
    assert await dead_letters.redrive(QUEUE, ALL, per_second=2, actor=ACTOR) == 5
    assert time.monotonic() - began >= 2.5
    assert await source.bodies() == ["0", "1", "2", "3", "4"]


async def test_what_waits_for_its_turn_stays_hidden(
    dead_letters: DeadLetters, dead: Queue, source: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow redrive outlasts the holding of its letters: it holds on to them, or each would be sent twice."""
    monkeypatch.setattr("bbws.shared.operating.dead_letter_queues.HOLD_S", 4)
    for number in range(6):
        await dead.send(str(number), STORY)
    redriving = asyncio.create_task(dead_letters.redrive(QUEUE, ALL, per_second=1.2, actor=ACTOR))
    seen: list[str] = []
    while not redriving.done():
        if await source.depth():
            seen += await dead.bodies()
        await asyncio.wait([redriving], timeout=0.2)
    assert await redriving == 6
    assert seen == []
