"""Copies that take a message's place: in the dead-letter queue with the reason, in its own with the count."""

from collections.abc import Mapping

from faststream.exceptions import HandlerException

from .. import limits, wire
from ..dead_letters import EXCEPTION, FIRST_SEEN, HANDLER, MESSAGE_ID, QUEUE, REASON, RECEIVE_COUNT, TRACE_ID
from ..message import ReceivedMessage, as_time
from ..outgoing import Outgoing
from ..requeued import Requeued, written
from ..signals import leaves
from ..wire import Attribute

MAX_TEXT_LENGTH = 1000


def describe(error: BaseException | None) -> str:
    """Type and text of what went wrong, in a group of each; of `RejectMessage` and its like, of their cause."""
    wrong = error.__cause__ if isinstance(error, HandlerException) else error
    return "" if wrong is None else "; ".join(f"{type(one).__name__}: {_text(one)}" for one in leaves(wrong))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - whoever wrote the class; its message is buried all the same
        return "an error that cannot be printed"


def dead_letter(raw: ReceivedMessage, *, reason: str, handler: str, fifo: bool) -> Outgoing:
    """The message to send to the dead-letter queue, never over SQS's limit."""
    story = _story(raw, reason, handler)
    letter = Outgoing(body=raw["Body"], attributes=_attributes(_original(raw), story))
    if fifo:
        letter.group_id = raw.group_id or raw.sqs_id
        letter.deduplication_id = raw.sqs_id
    if letter.size > limits.MAX_SQS_MESSAGE_BYTES:
        letter.attributes = _original(raw)
        _add_what_fits(letter, reason)
    return letter


def copy_with_count(raw: ReceivedMessage, *, failures: int, delay_s: int) -> Outgoing | None:
    """The message to send to its own queue, with what it has been through; None where that makes it too large."""
    said = Requeued(failures, raw.receive_count, raw.message_id, raw.sent or "0", raw.first_seen or "0")
    attributes = _attributes(_original(raw), {wire.REQUEUED: written(said)})
    copy = Outgoing(body=raw["Body"], attributes=attributes, group_id=raw.group_id, delay_s=delay_s)
    return copy if copy.size <= limits.MAX_SQS_MESSAGE_BYTES else None


def _story(raw: ReceivedMessage, reason: str, handler: str) -> dict[str, str]:
    seen = as_time(raw.first_seen)
    story = {
        REASON: reason,
        EXCEPTION: describe(raw.failure)[:MAX_TEXT_LENGTH],
        HANDLER: handler,
        QUEUE: raw.queue,
        FIRST_SEEN: seen.isoformat() if seen else "",
        RECEIVE_COUNT: str(raw.receive_count),
        MESSAGE_ID: raw.message_id,
        TRACE_ID: _trace_id(raw),
        wire.CORRELATION_ID: str(raw.headers.get(wire.CORRELATION_ID) or raw.message_id),
    }
    return {name: value for name, value in story.items() if value}


def _trace_id(raw: ReceivedMessage) -> str:
    """Of the W3C header (version-traceid-spanid-flags), or of AWS's own."""
    parts = str(raw.headers.get("traceparent", "")).split("-")
    return parts[1] if len(parts) == 4 else raw.system("AWSTraceHeader") or ""


def _original(raw: ReceivedMessage) -> dict[str, Attribute]:
    """The message's own attributes, without the count of an earlier copy."""
    attributes: dict[str, Attribute] = raw.get("MessageAttributes") or {}
    if raw.requeued is None:
        return attributes
    if wire.REQUEUED in attributes:
        return {name: attribute for name, attribute in attributes.items() if name != wire.REQUEUED}
    packed = wire.unpack({wire.PACKED: attributes[wire.PACKED]})
    del packed[wire.REQUEUED]
    others = {name: attribute for name, attribute in attributes.items() if name != wire.PACKED}
    return wire.pack(packed, others)


def _attributes(own: Mapping[str, Attribute], ours: Mapping[str, str]) -> dict[str, Attribute]:
    """The message's own attributes and ours; what exceeds ten is packed, typed ones only when they must be."""
    original = {name: _sendable(attribute) for name, attribute in own.items()}
    direct = wire.pack(ours)
    # Two that are packed do not fit side by side.
    if len(original.keys() | direct.keys()) <= limits.MAX_ATTRIBUTES and wire.PACKED not in original.keys() & direct:
        return {**original, **direct}
    typed = {name: a for name, a in original.items() if a["DataType"] != "String" and name != wire.PACKED}
    typed = dict(list(typed.items())[: limits.MAX_ATTRIBUTES - 2])
    texts = wire.unpack({name: a for name, a in original.items() if name not in typed})
    # Ours twice: first, so that they come first, and last, so that they replace those of an earlier copy.
    return wire.pack({**ours, **texts, **ours}, typed)


def _sendable(attribute: Attribute) -> Attribute:
    """Without the empty fields that a receive may bring and a send refuses."""
    return {key: attribute[key] for key in ("DataType", "StringValue", "BinaryValue") if attribute.get(key)}


def _add_what_fits(letter: Outgoing, reason: str) -> None:
    """As much of the reason as the limit leaves; the body comes first."""
    if len(letter.attributes) >= limits.MAX_ATTRIBUTES:
        return
    room = limits.MAX_SQS_MESSAGE_BYTES - letter.size - len(REASON) - len("String")
    if text := wire.legal(reason).encode()[: max(room, 0)].decode(errors="ignore"):
        letter.attributes = letter.attributes | {REASON: {"DataType": "String", "StringValue": text}}
