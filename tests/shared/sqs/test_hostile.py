"""What somebody who may send messages cannot do to a consumer: stop it, stay for ever, or bury others' messages."""

import json
import logging
from collections import Counter
from typing import Any

import pytest
from faststream.exceptions import NackMessage, RejectMessage, SkipMessage

from bbws.shared.sqs import Backoff, SQSBroker, SQSMessage, SQSQueue, TestSQSBroker, wire
from bbws.shared.sqs.dead_letters import EXCEPTION, MESSAGE_ID, REASON
from bbws.shared.sqs.inbox import Settled
from bbws.shared.sqs.limits import MAX_ATTRIBUTES, MAX_SQS_MESSAGE_BYTES
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.message import ReceivedMessage
from bbws.shared.sqs.outgoing import Outgoing
from bbws.shared.sqs.payloads import MemoryObjects, PayloadBucket, Payloads, Pointer
from bbws.shared.sqs.signals import leaves, ordinary, signal_in
from bbws.shared.sqs.subscriber.copies import MAX_TEXT_LENGTH, dead_letter
from bbws.shared.sqs.wire import Attribute
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, started
from tests.support.waiting import eventually

FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate()}
QUEUE = SQSQueue("q", dead_letter="q-dlq", max_receive_count=5)


def text(value: str) -> Attribute:
    return {"DataType": "String", "StringValue": value}


def count(**said: Any) -> dict[str, Attribute]:
    """A forged count of earlier failures."""
    usual = {"failures": 0, "receives": 0, "message-id": "m-1", "sent": "1", "first-seen": "1"}
    return {wire.REQUEUED: text(json.dumps(usual | said))}


def packed(value: str) -> dict[str, Attribute]:
    """Forged packed headers, beside so many others that a dead letter has to pack them again."""
    return {wire.PACKED: text(value), **{f"h{i}": text("x") for i in range(5)}}


DEEP = 100_000
FORGED = {
    "nested counts": {wire.REQUEUED: text("[" * DEEP)},
    "endless failures": {
        wire.REQUEUED: text('{"failures":1e999,"receives":0,"message-id":"m","sent":1,"first-seen":1}')
    },
    "failures of 4,300 digits": count(failures="9" * 4300),
    "negative failures": count(failures=-1000),
    "seen after the year 9999": count(**{"first-seen": "9" * 25}),
    "sent before the year 1": count(sent="-" + "9" * 16, **{"first-seen": "-" + "9" * 16}),
    "an id of many lines": count(**{"message-id": "m\n" * 1000}),
    "nested packed headers": packed('{"x-requeued":' + "[" * DEEP),
    "packed headers that json reads once": packed('{"a":' + "[" * 950 + "]" * 950 + "}"),
    "packed bytes that are none": packed('{"x-requeued":"x","a":{"base64":"a"}}'),
    "packed headers that are a number": {**packed("5"), wire.PACKED: {"DataType": "Number", "StringValue": "5"}},
    "packed text that is none": packed('{"\\ud800":"\\ud800","n":NaN}'),
}
forged = pytest.mark.parametrize("attributes", FORGED.values(), ids=FORGED.keys())


@forged
@virtual_clock
async def test_forged_headers_harm_their_own_message_only(attributes: dict[str, Attribute]) -> None:
    """It was received together with good ones: those are handled at their first receive, and it is buried by us, with
    its reason, after its attempts."""
    service, runs, names = MemoryService(now), Counter[str](), set[str]()
    service.declare(QUEUE)
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", max_workers=10, attempts=2, **FAST)
    async def handle(body: str, message: SQSMessage) -> None:
        runs[body] += 1
        names.add(message.message_id)
        assert message.sent_at
        if body == "bad":
            raise ValueError("bad")

    for body in ("good", "bad", "good"):
        await service.send("q", Outgoing(body, attributes if body == "bad" else {}))
    async with started(broker):
        await eventually(lambda: not service.messages("q"), within_s=5, what="all are done")
    assert runs == {"good": 2, "bad": 2}
    assert all(name.isprintable() and len(name) <= 100 for name in names)
    [letter] = service.messages("q-dlq")
    assert wire.unpack(letter["MessageAttributes"])[REASON] == "failed 2 times"


@forged
@virtual_clock
async def test_a_forged_answer_reaches_nobody_and_stops_no_request(attributes: dict[str, Attribute]) -> None:
    """Whoever may write to the queue of answers cannot make all requests time out."""
    broker = SQSBroker(reply_queue="replies")

    @broker.subscriber("prices")
    async def price(sku: str) -> str:
        return f"{sku}: 7"

    test = TestSQSBroker(broker)
    async with test:
        await test._service.send("replies", Outgoing("x", attributes))
        answer = await broker.request("a", "prices", timeout=1)
        assert answer.body == b"a: 7"


async def test_another_messages_name_takes_no_attempt_from_it() -> None:
    """Failures are counted by the id that SQS gave, whatever a message says of itself."""
    broker, runs = SQSBroker(), Counter[str]()

    @broker.subscriber(QUEUE, attempts=3, **FAST)
    async def handle(body: str) -> None:
        runs[body] += 1
        if body == "forged":
            raise NackMessage(delay=600)
        if runs[body] < 3:
            raise ValueError("not yet")

    test = TestSQSBroker(broker, raise_errors=False)
    async with test:
        service = test._service
        victim = await service.send("q", Outgoing("victim", delay_s=1))
        for _ in range(2):
            await service.send("q", Outgoing("forged", count(**{"message-id": victim})))
        await test.advance(60)
        assert runs["victim"] == 3
        assert await test.messages("q-dlq") == []


def test_another_messages_name_hides_no_dead_letter_of_it() -> None:
    """A FIFO queue keeps one of two with the same deduplication id."""
    raw = received(count(**{"message-id": "victim"}))
    letter = dead_letter(raw, reason="bad", handler="handle", fifo=True)
    assert raw.message_id == "victim"
    assert (letter.group_id, letter.deduplication_id) == ("own", "own")


def received(attributes: dict[str, Attribute], body: str = "x") -> ReceivedMessage:
    raw = {"MessageId": "own", "ReceiptHandle": "h", "Body": body, "MessageAttributes": attributes}
    return ReceivedMessage(raw, queue="q", settler=Settled(), received_at=0)


def nested(error: Exception, depth: int = 10_000) -> Exception:
    for _ in range(depth):
        error = ExceptionGroup("group", [error])
    return error


class Unprintable(ValueError):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (nested(ValueError("deep")), "ValueError: deep"),
        (Unprintable(), "Unprintable: an error that cannot be printed"),
    ],
    ids=["nested deeper than Python calls functions", "without a text"],
)
async def test_whatever_a_handler_raises_its_message_is_buried_with_a_reason(failure: Exception, told: str) -> None:
    """Not by SQS, and without one."""
    broker = SQSBroker()

    @broker.subscriber(QUEUE, attempts=2, **FAST)
    async def handle(body: str) -> None:
        raise failure

    test = TestSQSBroker(broker, raise_errors=False)
    async with test:
        await broker.publish("x", "q")
        await test.advance(60)
        [letter] = await test.messages("q-dlq")
    assert (letter.headers[REASON], letter.headers[EXCEPTION]) == ("failed 2 times", told)


def test_a_signal_is_found_however_deep() -> None:
    """Deep groups are looked through as shallow ones are."""
    signal, beside = RejectMessage(reason="bad"), ValueError("deep")
    group = ExceptionGroup("two", [nested(signal), nested(beside), SkipMessage()])
    try:
        found, others = signal_in(group), ordinary(group)
    except RecursionError:
        # What pytest would print of the group is another recursion.
        pytest.fail("not by recursion", pytrace=False)
    assert found is group  # an ordinary error is more careful
    assert others is not None
    assert list(leaves(others)) == [beside]
    assert signal_in(ExceptionGroup("one", [nested(signal)])) is signal


async def test_a_long_reason_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """The more is wrong with a message, the longer is what a validation says of it."""
    service = MemoryService()
    service.declare(QUEUE)
    broker = BrokerOnMemory(service, logger=logging.getLogger("sqs-hostile"))

    @broker.subscriber(QUEUE, **FAST)
    async def handle(body: str) -> None:
        raise RejectMessage(reason="wrong" * MAX_TEXT_LENGTH)

    async with started(broker):
        await broker.publish("x", "q")
        await eventually(lambda: not service.messages("q"), what="it is buried")
    [line] = [record for record in caplog.records if "moved to the dead-letter queue" in record.getMessage()]
    assert len(line.getMessage()) < 2 * MAX_TEXT_LENGTH


def test_a_reason_beside_a_body_at_the_limit_is_one_that_sqs_takes() -> None:
    """What SQS refuses is refused each time, and the message comes again for ever."""
    raw = received({}, "x" * (MAX_SQS_MESSAGE_BYTES - 100))
    letter = dead_letter(raw, reason="bad \0 \ud800 " * 20, handler="handle", fifo=False)
    reason = letter.attributes[REASON]["StringValue"]
    assert reason.startswith("bad \ufffd \ufffd bad")
    assert letter.size <= MAX_SQS_MESSAGE_BYTES


@pytest.mark.parametrize(
    ("attributes", "own"),
    [
        ({wire.PACKED: text('{"note":""}')}, {"note": ""}),
        ({wire.PACKED: {"DataType": "Number", "StringValue": "5"}}, {wire.PACKED: 5}),
        ({wire.PACKED: {"DataType": "String.mine", "StringValue": "5"}}, {wire.PACKED: "5"}),
    ],
    ids=["packed", "a number", "a type of somebody's own"],
)
def test_a_dead_letter_has_its_story_and_its_headers(attributes: dict[str, Attribute], own: dict[str, Any]) -> None:
    """Both may have to be packed; neither takes the place of the other."""
    raw = received(attributes)
    raw.failure = ValueError("\0")
    for more in ({}, {f"h{i}": text("x") for i in range(6)}):
        raw["MessageAttributes"] = attributes | more
        letter = dead_letter(raw, reason="bad", handler="handle", fifo=False)
        headers = wire.unpack(letter.attributes)
        assert len(letter.attributes) <= MAX_ATTRIBUTES
        assert (own | dict.fromkeys(more, "x")).items() <= headers.items()
        assert (headers[REASON], headers[EXCEPTION], headers[MESSAGE_ID]) == ("bad", "ValueError: \0", "own")


@pytest.mark.parametrize("place", [Pointer("secrets", "orders/1"), Pointer("shop", "secrets/1")])
async def test_a_pointer_leads_only_where_bodies_are(place: Pointer) -> None:
    """Who may send must not choose what the consumer's role reads, and with `delete=True` destroys."""
    objects = MemoryObjects()
    await objects.put(place, b"42")
    with pytest.raises(ValueError, match="this consumer reads shop/orders/ only"):
        await Payloads(PayloadBucket("shop", prefix="orders/", delete=True), objects).fetch(place)


def test_what_is_packed_deeper_than_anybody_packs_stays_as_it_is() -> None:
    """Where the stack is deep already, json could read it and not write it again."""
    deep = {wire.PACKED: text('{"a":' + "[" * 30 + "]" * 30 + "}")}
    assert wire.unpack(deep) == {wire.PACKED: deep[wire.PACKED]["StringValue"]}


def test_ten_typed_attributes_leave_room_for_the_story() -> None:
    """SQS refuses an eleventh attribute, each time."""
    numbers: dict[str, Attribute] = {f"n{i}": {"DataType": "Number", "StringValue": str(i)} for i in range(10)}
    letter = dead_letter(received(numbers), reason="bad", handler="handle", fifo=False)
    headers = wire.unpack(letter.attributes)
    assert len(letter.attributes) <= MAX_ATTRIBUTES
    assert headers[REASON] == "bad"
    assert all(headers[f"n{i}"] == i for i in range(10))


def test_the_story_is_not_packed_where_headers_can_be() -> None:
    """Consoles and alarms read attributes; what is in `x-packed-headers` they do not find."""
    own = {f"h{i}": text(str(i)) for i in range(10)}
    letter = dead_letter(received(own), reason="bad", handler="handle", fifo=False)
    assert (letter.attributes[REASON], letter.attributes[MESSAGE_ID]) == (text("bad"), text("own"))
    assert wire.unpack(letter.attributes).items() >= {f"h{i}": str(i) for i in range(10)}.items()
