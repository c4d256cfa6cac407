"""Builds the copy for the dead-letter queue: the body as it was, and why it is there."""

from base64 import b64encode
from datetime import datetime
from typing import Any

from faststream.exceptions import HandlerException

from .. import limits, wire
from ..dead_letters import EXCEPTION, FIRST_SEEN, HANDLER, MESSAGE_ID, QUEUE, REASON, RECEIVE_COUNT, TRACE_ID
from ..message import ReceivedMessage
from ..outgoing import Outgoing
from ..signals import leaves
from ..wire import Attribute

_TEXT_LENGTH = 1000


def describe(error: BaseException | None) -> str:
    """Type and text of what went wrong, in a group of each; of `RejectMessage` and its like, of their cause."""
    wrong = error.__cause__ if isinstance(error, HandlerException) else error
    return "" if wrong is None else "; ".join(f"{type(one).__name__}: {one}" for one in leaves(wrong))


def dead_letter(raw: ReceivedMessage, *, reason: str, handler: str, fifo: bool) -> Outgoing:
    """The message to send to the dead-letter queue, never over SQS's limit."""
    story = _story(raw, reason, handler)
    letter = Outgoing(body=raw["Body"], attributes=_attributes(raw, story))
    if fifo:
        letter.group_id = raw.system("MessageGroupId") or raw.message_id
        letter.deduplication_id = raw.message_id
    if letter.size > limits.MAX_SQS_MESSAGE_BYTES:
        letter.attributes = _original(raw) or {}
        _add_what_fits(letter, reason)
    return letter


def _story(raw: ReceivedMessage, reason: str, handler: str) -> dict[str, str]:
    seen = raw.time("ApproximateFirstReceiveTimestamp") or raw.time("SentTimestamp")
    story = {
        REASON: reason[:_TEXT_LENGTH],
        EXCEPTION: describe(raw.failure)[:_TEXT_LENGTH],
        HANDLER: handler,
        QUEUE: raw.queue,
        FIRST_SEEN: _iso(seen),
        RECEIVE_COUNT: str(raw.receive_count),
        MESSAGE_ID: raw.message_id,
        TRACE_ID: _trace_id(raw),
        wire.CORRELATION_ID: str(raw.headers.get(wire.CORRELATION_ID) or raw.message_id),
    }
    return {name: value for name, value in story.items() if value}


def _iso(time: datetime | None) -> str:
    return time.isoformat() if time else ""


def _trace_id(raw: ReceivedMessage) -> str:
    """Of the W3C header (version-traceid-spanid-flags), or of AWS's own."""
    parts = str(raw.headers.get("traceparent", "")).split("-")
    return parts[1] if len(parts) == 4 else raw.system("AWSTraceHeader") or ""


def _original(raw: ReceivedMessage) -> dict[str, Attribute] | None:
    attributes: dict[str, Attribute] | None = raw.get("MessageAttributes")
    return attributes


def _attributes(raw: ReceivedMessage, story: dict[str, str]) -> dict[str, Attribute]:
    """Story and the message's own attributes; what exceeds ten is packed, typed ones only when they must be."""
    original = {name: _sendable(attribute) for name, attribute in (_original(raw) or {}).items()}
    if len(original.keys() | story.keys()) <= limits.MAX_ATTRIBUTES:
        return {**original, **wire.pack(story)}
    typed = {name: a for name, a in original.items() if a["DataType"] != "String"}
    typed = dict(list(typed.items())[: limits.MAX_ATTRIBUTES - 2])
    texts = wire.unpack({name: a for name, a in original.items() if name not in typed})
    # The story twice: first, so that it comes first, and last, so that it replaces the story of an earlier death.
    return wire.pack({**story, **{name: _text(value) for name, value in texts.items()}, **story}, typed)


def _sendable(attribute: Attribute) -> Attribute:
    """Without the empty fields that a receive may bring and a send refuses."""
    return {key: attribute[key] for key in ("DataType", "StringValue", "BinaryValue") if attribute.get(key)}


def _text(value: Any) -> str:
    return b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _add_what_fits(letter: Outgoing, reason: str) -> None:
    """As much of the reason as the limit leaves; the body comes first."""
    if len(letter.attributes) >= limits.MAX_ATTRIBUTES:
        return
    room = limits.MAX_SQS_MESSAGE_BYTES - letter.size - len(REASON) - len("String")
    if text := reason.encode()[: max(room, 0)].decode(errors="ignore"):
        letter.attributes[REASON] = {"DataType": "String", "StringValue": text}
