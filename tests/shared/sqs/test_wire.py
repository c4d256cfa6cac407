"""Values without AWS: how bodies and headers travel, back-off, names, filters, the size of dead letters."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import ClientError
from faststream.exceptions import SetupError
from hypothesis import given
from hypothesis import strategies as st

from bbws.shared.sqs import Backoff, MessageTooLarge, SNSTopic, SQSQueue, TopicLink, limits, wire
from bbws.shared.sqs.backoff import whole_seconds
from bbws.shared.sqs.client import Failure, UnreadableAnswer, _batch_result, is_refusal, sns_entry, sqs_entry
from bbws.shared.sqs.dead_letters import REASON, TRACE_ID
from bbws.shared.sqs.filters import lets_pass
from bbws.shared.sqs.message import ReceivedMessage
from bbws.shared.sqs.outgoing import Outgoing, chunks, headers_of_command
from bbws.shared.sqs.parser import SQSParser
from bbws.shared.sqs.payloads import Pointer, pointer_in
from bbws.shared.sqs.schemas import Destination, prefixed, short_name
from bbws.shared.sqs.subscriber.copies import dead_letter

NOBODY: Any = None


def received(body: str, attributes: dict[str, wire.Attribute] | None = None, **system: str) -> ReceivedMessage:
    raw = {"MessageId": "m-1", "Body": body, "MessageAttributes": attributes or {}, "Attributes": system}
    return ReceivedMessage(raw, queue="orders", settler=NOBODY, received_at=0)


@given(body=st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "ignore")))
def test_any_body_survives(body: bytes) -> None:
    """Whatever bytes go in come out, and what travels is never empty and legal in XML."""
    text, attributes = wire.encode(body, {})
    headers = wire.unpack(attributes)
    assert text
    assert all(character in "\t\n\r" or character >= " " for character in text)
    assert wire.decode(text, headers) == body
    assert headers == {}


NAMES = st.text(min_size=1, max_size=12) | st.text("abcdefg-", min_size=1, max_size=3)
NUMBERS = st.integers() | st.just(10**400) | st.floats(allow_nan=False, allow_infinity=False)


@given(headers=st.dictionaries(NAMES, st.text(max_size=12) | NUMBERS | st.binary(max_size=12), max_size=16))
def test_any_headers_survive(headers: dict[str, Any]) -> None:
    """At most ten attributes leave, each with a name and a value that SQS takes; text, numbers and bytes arrive."""
    ours = {wire.PACKED, wire.ENCODING, wire.CONTENT_TYPE, wire.CORRELATION_ID, wire.REPLY_TO}
    headers = {name: value for name, value in headers.items() if name not in ours}
    _, attributes = wire.encode(b"x", headers)
    assert len(attributes) <= limits.MAX_ATTRIBUTES
    assert all(attribute.get("StringValue") or attribute["BinaryValue"] for attribute in attributes.values())
    unpacked = wire.unpack(attributes)
    assert unpacked == headers
    assert {name: type(value) for name, value in unpacked.items()} == {n: type(v) for n, v in headers.items()}


class Colour(Enum):
    RED = "red"


class Size(StrEnum):
    LARGE = "large"


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        (10, {"DataType": "Number", "StringValue": "10"}),
        (-2.5, {"DataType": "Number", "StringValue": "-2.5"}),
        (1e22, {"DataType": "Number", "StringValue": "10000000000000000000000.0"}),
        (1e-7, {"DataType": "Number", "StringValue": "0.0000001"}),
        (Decimal("19.90"), {"DataType": "Number", "StringValue": "19.9"}),
        (b"\x01", {"DataType": "Binary", "BinaryValue": b"\x01"}),
        (bytearray(b"\x01"), {"DataType": "Binary", "BinaryValue": b"\x01"}),
        (True, {"DataType": "String", "StringValue": "true"}),
        (Colour.RED, {"DataType": "String", "StringValue": "red"}),
        (Size.LARGE, {"DataType": "String", "StringValue": "large"}),
        (datetime(2026, 2, 3, 4, 5, tzinfo=UTC), {"DataType": "String", "StringValue": "2026-02-03T04:05:00+00:00"}),
        (date(2026, 2, 3), {"DataType": "String", "StringValue": "2026-02-03"}),
        (UUID(int=1), {"DataType": "String", "StringValue": "00000000-0000-0000-0000-000000000001"}),
    ],
)
def test_each_type_has_its_form(value: Any, attribute: wire.Attribute) -> None:
    """What others read, and filters of SNS compare."""
    assert wire.encode(b"x", {"h": value, "none": None})[1] == {"h": attribute}


@pytest.mark.parametrize("value", [["a"], {"a": 1}, object(), float("nan"), float("inf"), Decimal("NaN")])
def test_what_has_no_form_is_refused_before_it_is_sent(value: Any) -> None:
    """Never somebody's repr: the receiver could not tell."""
    with pytest.raises(TypeError, match="'odd'"):
        wire.encode(b"x", {"odd": value})


@pytest.mark.parametrize("text", ["007", "1.2345678901234567890123", "1e400", "NaN", "٣", "", "12,5"])
def test_numbers_of_others_that_python_would_change_stay_text(text: str) -> None:
    """A Number attribute may hold more than a float does."""
    assert wire.unpack({"n": {"DataType": "Number", "StringValue": text}}) == {"n": text}


def test_what_others_packed_can_be_packed_again() -> None:
    """A dead letter keeps the headers of its message, whatever they are."""
    odd = {"list": [1], "dict": {"a": None}, "none": None, "yes": True, "n": 1, "large": 10**400}
    packed = wire.pack(wire.unpack({wire.PACKED: {"DataType": "String", "StringValue": json.dumps(odd)}}))
    assert packed["n"] == {"DataType": "Number", "StringValue": "1"}
    assert wire.unpack(packed) == odd


def test_ids_are_text_whoever_wrote_them() -> None:
    """They are compared with text."""
    number = {"DataType": "Number", "StringValue": "7"}
    assert wire.unpack({wire.CORRELATION_ID: number, "n": number}) == {wire.CORRELATION_ID: "7", "n": 7}


def test_packed_headers_have_their_true_size() -> None:
    """Non-ASCII text counts as the UTF-8 that is sent, not as escapes of three times its size."""
    headers = {f"h{i}": "é€😀" * 10 for i in range(12)}
    _, attributes = wire.encode(b"x", headers)
    packed = attributes[wire.PACKED]["StringValue"]
    assert "\\u" not in packed
    assert len(packed.encode()) < sum(len(name) + len(value.encode()) + 10 for name, value in headers.items())
    odd = {"odd": "\x00\ufffe\ud800\x1b é"}
    _, attributes = wire.encode(b"x", odd)
    assert attributes[wire.PACKED]["StringValue"] == '{"odd":"\\u0000\\ufffe\\ud800\\u001b é"}'
    assert wire.unpack(attributes) == odd


def test_the_users_headers_are_attributes_before_ours() -> None:
    """Filters of SNS see attributes only, not what is packed."""
    mine = {f"filter{i}": "x" for i in range(9)}
    headers = headers_of_command(mine, content_type="text/plain", correlation_id="c", reply_to="r")
    assert mine.keys() <= wire.pack(headers).keys()


def test_a_content_encoding_of_the_users_own_is_kept() -> None:
    """Gzipped bodies are announced by the user's header and still travel."""
    text, attributes = wire.encode(b"\x1f\x8b\x00", {"content-encoding": "gzip"})
    headers = wire.unpack(attributes)
    assert wire.decode(text, headers) == b"\x1f\x8b\x00"
    assert headers == {"content-encoding": "gzip"}


def test_entries_carry_only_what_is_set() -> None:
    """SQS and SNS refuse fields that are empty or belong to the other."""
    message = Outgoing("b", {}, group_id="g", deduplication_id="d", delay_s=0, subject="s")
    assert sqs_entry(message) == {
        "MessageBody": "b", "MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 0,
    }  # fmt: skip
    assert sns_entry(Outgoing("b", {}, subject="s")) == {"Message": "b", "Subject": "s"}


def test_an_answer_that_leaves_an_entry_out_confirms_nothing() -> None:
    """A message that nobody mentions may be sent or not, deleted or not: to take it for done would lose it."""
    sent = {"Id": "0", "MessageId": "m"}
    failed = {"Id": "1", "Code": "InvalidMessageContents", "Message": "odd", "SenderFault": True}
    result = _batch_result({"Successful": [sent], "Failed": [failed]}, 2)
    assert result.sent == {0: "m"}
    assert result.failed == [Failure(1, "InvalidMessageContents", "odd", sender_fault=True)]
    for answer in ({}, {"Successful": [sent]}, {"Successful": [{"MessageId": "m"}, {"Id": "1"}]}):
        with pytest.raises(UnreadableAnswer):
            _batch_result(answer, 2)


@pytest.mark.parametrize(("status", "is_sure"), [(400, True), (499, True), (500, False), (503, False), (0, True)])
def test_only_a_refusal_says_that_nothing_happened(status: int, is_sure: bool) -> None:
    """After an error of AWS's own a message may have been sent all the same."""
    error = ClientError({"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "SendMessage")
    assert is_refusal(error) is is_sure
    assert not is_refusal(TimeoutError())


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ("delay", 901), ("delay", -1), ("retention", 59), ("retention", 1_209_601), ("max_receive_count", 0),
        ("visibility_timeout", 43_201), ("visibility_timeout", -1),
    ],
)  # fmt: skip
def test_settings_that_sqs_refuses_are_refused_when_written(setting: str, refused: int) -> None:
    """A wrong figure must not wait for the deployment to show; the figure beside it is right."""
    with pytest.raises(SetupError, match=setting):
        SQSQueue("q", **{setting: refused})  # type: ignore[arg-type]
    SQSQueue("q", **{setting: refused + 1 if refused < 100 else refused - 1})  # type: ignore[arg-type]


def test_a_message_of_exactly_the_limit_is_sent() -> None:
    """The limit counts the body and each attribute with name, type and value; one byte more is refused."""
    attributes: dict[str, wire.Attribute] = {
        "ab": {"DataType": "String", "StringValue": "é"},
        "c": {"DataType": "Binary", "BinaryValue": b"xyz"},
    }
    others = len("ab") + len("String") + 2 + len("c") + len("Binary") + 3
    for is_topic, limit in ((False, limits.MAX_SQS_MESSAGE_BYTES), (True, limits.MAX_SNS_MESSAGE_BYTES)):
        Outgoing("x" * (limit - others), attributes).check_size(is_topic=is_topic)
        with pytest.raises(MessageTooLarge):
            Outgoing("x" * (limit - others + 1), attributes).check_size(is_topic=is_topic)


def test_a_call_holds_ten_messages_and_what_the_limit_allows() -> None:
    """SQS refuses the whole call otherwise."""
    half = limits.MAX_SQS_MESSAGE_BYTES // 2
    sizes = [1] * 11 + [half, half, 1, half + 1, half]
    calls = list(chunks([Outgoing("x" * size) for size in sizes], is_topic=False))
    assert calls == [list(range(10)), [10, 11], [12, 13], [14], [15]]


def test_back_off_grows_to_its_cap() -> None:
    """Doubling, then level; also for receive counts that would overflow."""
    exact = Backoff.exponential(base=2, cap=60, jitter=False)
    assert [exact.delay(count) for count in (1, 2, 3, 6, 10_000)] == [2, 4, 8, 60, 60]
    assert Backoff.immediate().delay(5) == 0
    assert Backoff.none().delay(5) is None
    with pytest.raises(ValueError, match="base"):
        Backoff.exponential(base=10, cap=1)


def test_a_delay_is_never_shorter_than_asked() -> None:
    """SQS takes whole seconds: a message that comes back early meets what it was to wait for."""
    assert [whole_seconds(delay) for delay in (-1, 0, 0.1, 1, 1.01)] == [0, 0, 1, 1, 2]


def test_jitter_spreads_between_half_and_all() -> None:
    """Messages that failed together must not come back together."""
    delays = {Backoff.exponential(base=8, cap=900).delay(3) or 0 for _ in range(50)}
    assert len(delays) > 40
    assert all(16 <= delay <= 32 for delay in delays)


def test_fifo_and_its_suffix_imply_each_other() -> None:
    """AWS demands the suffix; nobody should have to write it twice."""
    assert SQSQueue("a", fifo=True).name == "a.fifo"
    assert SQSQueue("a.fifo").fifo
    assert SNSTopic("t", fifo=True).name == "t.fifo"
    queue = SQSQueue("a", fifo=True, dead_letter="a-dlq").dead_letter_queue
    assert queue is not None
    assert queue.name == "a-dlq.fifo"
    with pytest.raises(SetupError):
        SQSQueue("a", content_based_deduplication=True)


def test_prefixes_touch_names_only() -> None:
    """A URL or ARN already says all."""
    assert prefixed("q", "p-") == "p-q"
    assert prefixed("arn:aws:sqs:r:1:q", "p-") == "arn:aws:sqs:r:1:q"
    assert short_name("https://sqs.r.amazonaws.com/1/q") == short_name("arn:aws:sqs:r:1:q") == "q"
    assert Destination.of("arn:aws:sns:r:1:t", None).is_topic


PASSES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"a": ["x", "y"]}, {"a": "y"}, True),
    ({"a": ["x"]}, {}, False),
    ({"a": ["x"], "b": ["y"]}, {"a": "x"}, False),
    ({"a": [{"prefix": "or"}]}, {"a": "order"}, True),
    ({"a": [{"suffix": "er"}]}, {"a": "order"}, True),
    ({"a": [{"anything-but": ["x", "y"]}]}, {"a": "z"}, True),
    ({"a": [{"anything-but": ["x", "y"]}]}, {"a": "x"}, False),
    ({"a": [{"anything-but": ["x"]}]}, {}, False),
    ({"a": [{"anything-but": {"prefix": "or"}}]}, {"a": "order"}, False),
    ({"a": [{"exists": True}]}, {"a": None}, True),
    ({"a": [{"exists": False}]}, {}, True),
    ({"a": [{"exists": False}]}, {"a": "x"}, False),
    ({"a": [{"numeric": [">=", 10, "<", 20]}]}, {"a": 10}, True),
    ({"a": [{"numeric": [">=", 10, "<", 20]}]}, {"a": 20}, False),
    ({"a": [{"numeric": ["=", 10]}]}, {"a": "10"}, False),
    ({"a": [{"equals-ignore-case": "X"}]}, {"a": "x"}, True),
    ({"a": [1]}, {"a": True}, False),
    ({"a": {"b": ["x"]}}, {"a": {"b": "x"}}, True),
    ({"a": {"b": ["x"]}}, {"a": "x"}, False),
    ({"a": ["x"]}, {"a": ["w", "x"]}, True),
    ({"$or": [{"a": ["x"]}, {"b": ["y"]}]}, {"b": "y"}, True),
    ({"$or": [{"a": ["x"]}, {"b": ["y"]}]}, {"b": "x"}, False),
]


@pytest.mark.parametrize(("policy", "content", "passes"), PASSES)
def test_filter_policies_decide_as_sns_documents(policy: dict[str, Any], content: dict[str, Any], passes: bool) -> None:
    """A test that passes in memory must not fail for the filter on AWS."""
    link = TopicLink("t", filter_policy=policy, filter_scope="MessageBody")
    assert lets_pass(link, json.dumps(content), {}) is passes


def test_an_unknown_filter_operator_is_not_guessed() -> None:
    """A test must not pass on what the test broker does not know."""
    link = TopicLink("t", filter_policy={"a": [{"cidr": "10.0.0.0/8"}]})
    with pytest.raises(NotImplementedError, match="cidr"):
        lets_pass(link, "", {"a": {"DataType": "String", "StringValue": "10.0.0.1"}})


@pytest.mark.parametrize("spare", [0, 5, 40, 5000])
def test_a_dead_letter_is_never_too_large(spare: int) -> None:
    """A body near the limit leaves no room for the story, and must still be buried rather than go round for ever."""
    raw = received("x" * (limits.MAX_SQS_MESSAGE_BYTES - spare))
    raw.failure = ValueError("y" * 5000)
    letter = dead_letter(raw, reason="too bad", handler="handle", fifo=False)
    assert letter.body == raw["Body"]
    assert letter.size <= limits.MAX_SQS_MESSAGE_BYTES
    assert (REASON in letter.attributes) is (spare >= 40)


def test_a_letter_that_dies_again_tells_the_new_story() -> None:
    """After a redrive by hand the old reason would send whoever looks on a wrong track."""
    attributes: dict[str, wire.Attribute] = {f"h{i}": {"DataType": "String", "StringValue": "x"} for i in range(9)}
    attributes[REASON] = {"DataType": "String", "StringValue": "old"}
    for kept in (dict(list(attributes.items())[-1:]), attributes):
        letter = dead_letter(received("x", kept), reason="new", handler="h", fifo=False)
        assert wire.unpack(letter.attributes)[REASON] == "new"


def test_a_letter_of_a_fifo_queue_has_group_and_id() -> None:
    """The dead-letter queue refuses it without; the id lets a second copy after a crash be dropped."""
    grouped = dead_letter(received("x", MessageGroupId="g"), reason="r", handler="h", fifo=True)
    alone = dead_letter(received("x"), reason="r", handler="h", fifo=True)
    assert (grouped.group_id, grouped.deduplication_id) == ("g", "m-1")
    assert (alone.group_id, alone.deduplication_id) == ("m-1", "m-1")


def test_a_letter_tells_the_trace_that_aws_knows() -> None:
    """Without a W3C header the trace of X-Ray is the one to follow."""
    letter = dead_letter(received("x", AWSTraceHeader="Root=1-2-3"), reason="r", handler="h", fifo=False)
    assert wire.unpack(letter.attributes)[TRACE_ID] == "Root=1-2-3"


def test_typed_attributes_stay_typed_beside_the_story() -> None:
    """Numbers and bytes of other producers come out of the dead letters as they went in."""
    attributes: dict[str, wire.Attribute] = {f"s{i}": {"DataType": "String", "StringValue": "x"} for i in range(8)}
    attributes["n"] = {"DataType": "Number", "StringValue": "5"}
    attributes["b"] = {"DataType": "Binary", "BinaryValue": b"\x00"}
    letter = dead_letter(received("x", attributes), reason="r", handler="h", fifo=False)
    assert len(letter.attributes) == limits.MAX_ATTRIBUTES
    assert letter.attributes["n"]["DataType"] == "Number"
    headers = wire.unpack(letter.attributes)
    assert headers[REASON] == "r"
    assert headers["b"] == b"\x00"
    assert all(headers[f"s{i}"] == "x" for i in range(8))


POINTER = '["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "b", "s3Key": "k"}]'


@pytest.mark.parametrize(
    ("body", "attributes", "is_pointer"),
    [
        (POINTER, {"ExtendedPayloadSize": {}}, True),
        (POINTER, {}, False),
        (POINTER.replace("PayloadS3Pointer", "SomethingElse"), {"ExtendedPayloadSize": {}}, False),
        (POINTER.replace("s3Key", "key"), {"ExtendedPayloadSize": {}}, False),
        ("7", {"ExtendedPayloadSize": {}}, False),
    ],
)
def test_only_a_marked_pointer_of_that_form_is_one(body: str, attributes: dict[str, Any], is_pointer: bool) -> None:
    """A body that happens to look like one, or an attribute on another body, is what it was published as."""
    assert pointer_in(body, attributes) == (Pointer("b", "k") if is_pointer else None)


@pytest.mark.parametrize(
    "envelope",
    [
        {"Type": "Notification", "TopicArn": "arn:t", "Message": "inner"},
        {"Type": "UnsubscribeConfirmation", "TopicArn": "arn:t", "Message": "Notification"},
        {"Type": "Notification", "TopicArn": "arn:t"},
    ],
)
async def test_only_a_notification_is_taken_out_of_its_envelope(envelope: dict[str, str]) -> None:
    """SNS has other messages with a topic, and a body of the user's may have the same fields."""
    message = await SQSParser().parse_message(received(json.dumps(envelope)))
    is_wrapped = envelope.get("Message") == "inner"
    assert message.body == (b"inner" if is_wrapped else json.dumps(envelope).encode())
    assert message.topic_arn == ("arn:t" if is_wrapped else None)


async def test_a_dead_letter_in_an_envelope_tells_the_story_outside() -> None:
    """Inside are the headers of the publisher, who may have sent on a dead letter of his own."""
    inside = {REASON: {"Type": "String", "Value": "old"}, "raw": {"Type": "Binary", "Value": "AP8="}}
    envelope = {"Type": "Notification", "TopicArn": "arn:t", "Message": "x", "MessageAttributes": inside}
    outside = {REASON: {"DataType": "String", "StringValue": "new"}}
    message = await SQSParser().parse_message(received(json.dumps(envelope), outside))
    assert message.headers == {REASON: "new", "raw": b"\x00\xff"}


def test_two_deliveries_of_one_message_are_two() -> None:
    """In-flight messages are kept by delivery: the same content again is another one."""
    assert received("x") != received("x")
    assert len({received("x"), received("x")}) == 2
