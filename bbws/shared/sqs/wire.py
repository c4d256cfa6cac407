"""The wire format: bodies as text that SQS accepts, headers as at most ten attributes, the rest packed into one.

Public, for those who read or write the messages without the broker: `encode` and `decode` bodies, `pack` and `unpack`
headers. Text travels as String, int, float and Decimal as Number, bytes as Binary, and arrive as such (a Decimal as
float); bool ("true"), dates and times (ISO 8601) and UUID travel as text, an Enum as its value, None not at all.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

from . import limits

ENCODING = "content-encoding"
PACKED = "x-packed-headers"
REQUEUED = "x-requeued"
CONTENT_TYPE = "content-type"
CORRELATION_ID = "correlation_id"
REPLY_TO = "reply_to"

_EMPTY = "empty"
_BASE64 = "base64"
# SQS takes only what XML 1.0 allows, whatever protocol is spoken.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r"(?!AWS\.|Amazon\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.IGNORECASE)
_NAME_LENGTH = 256
# Digits of a Number attribute that AWS keeps, with point and sign.
_NUMBER_LENGTH = 40
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,99})")
_DECIMAL = re.compile(r"-?[0-9]{1,40}\.[0-9]{1,200}|-?[0-9](\.[0-9]{1,40})?[eE][+-]?[0-9]{1,3}")
# Of values in `x-packed-headers`; whoever packed deeper is somebody else, whom json might not write again.
_MAX_NESTING = 20
# Whoever wrote them, they are compared as text.
_ALWAYS_TEXT = frozenset({CONTENT_TYPE, CORRELATION_ID, REPLY_TO, ENCODING})

Attribute = dict[str, Any]


def encode(
    body: bytes, headers: Mapping[str, Any], others: Mapping[str, Attribute] | None = None
) -> tuple[str, dict[str, Attribute]]:
    """Body and attributes that SQS accepts and `decode` turns back into the same; `others` are added as they are."""
    text, marker = _encode_body(body)
    values = {name: _sendable(name, value) for name, value in headers.items() if value is not None}
    if marker:
        # A content-encoding of the user's own stays readable in front of ours, as in HTTP.
        own = values.get(ENCODING)
        values[ENCODING] = f"{own}, {marker}" if isinstance(own, str) else marker
    return text, pack(values, others)


def _encode_body(body: bytes) -> tuple[str, str | None]:
    if not body:
        return _EMPTY, _EMPTY
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return b64encode(body).decode(), _BASE64
    if _ILLEGAL.search(text):
        return b64encode(body).decode(), _BASE64
    return text, None


def _sendable(name: str, value: Any) -> str | float | bytes:
    """Text, number or bytes; an error for what has no form of its own, before anything is sent."""
    if type(value) is str:
        return value
    match value:
        case Enum():
            return _sendable(name, value.value)
        case bool():
            return str(value).lower()
        case str() | UUID():
            return str(value)
        case int():
            return int(value)
        case float() | Decimal() if isfinite(value):
            return float(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value)
        case date() | time():
            return value.isoformat()
    raise TypeError(f"a header is text, a number, bytes or a time; {name!r} is {value!r}")


def pack(values: Mapping[str, Any], others: Mapping[str, Attribute] | None = None) -> dict[str, Attribute]:
    """Headers as attributes in their order; what does not fit or is illegal goes into `x-packed-headers`.

    `others` are attributes that stay as they are and take their share of the ten.
    """
    kept = dict(others or {})
    illegal = [name for name, value in values.items() if not _is_legal(name, value)]
    room = limits.MAX_ATTRIBUTES - len(kept)
    legal = [name for name in values if name not in illegal]
    if illegal or len(legal) > room:
        legal = legal[: max(room - 1, 0)]
    direct = {name: _attribute(values[name]) for name in legal}
    rest = {name: value for name, value in values.items() if name not in direct}
    if rest:
        direct[PACKED] = {"DataType": "String", "StringValue": _packed_text(rest)}
    return {**direct, **kept}


def _attribute(value: str | float | bytes) -> Attribute:
    if isinstance(value, str):
        return {"DataType": "String", "StringValue": value}
    if isinstance(value, bytes):
        return {"DataType": "Binary", "BinaryValue": value}
    return {"DataType": "Number", "StringValue": _number_text(value)}


def _number_text(value: float) -> str:
    """As AWS takes numbers: digits without an exponent."""
    text = str(value) if isinstance(value, int) else format(Decimal(repr(value)), "f")
    return text if isinstance(value, int) or "." in text else f"{text}.0"


def _packed_text(values: Mapping[str, Any]) -> str:
    """JSON in as few bytes as it takes: what SQS does not refuse stays as it is."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=_packed_bytes)
    return _ILLEGAL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _packed_bytes(value: bytes) -> dict[str, str]:
    return {_BASE64: b64encode(value).decode()}


def legal(text: str) -> str:
    """The text without what SQS refuses."""
    return _ILLEGAL.sub("\ufffd", text)


def _is_legal(name: str, value: Any) -> bool:
    if name == PACKED:
        # Somebody else's header, not what this module packs.
        return False
    return len(name) <= _NAME_LENGTH and bool(_NAME.fullmatch(name)) and _has_attribute(value)


def _has_attribute(value: Any) -> bool:
    """Whether there is an attribute of this value; what others packed may be anything that JSON knows."""
    if isinstance(value, str):
        return bool(value) and not _ILLEGAL.search(value)
    if isinstance(value, bytes):
        return len(value) > 0
    is_number = type(value) is int or (type(value) is float and isfinite(value))
    return is_number and len(_number_text(value)) <= _NUMBER_LENGTH


def unpack(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    """Headers of a received message: text, int or float for Number attributes, bytes for Binary ones."""
    headers = {name: _value(name, attribute) for name, attribute in attributes.items()}
    packed = headers.pop(PACKED, None)
    return {**headers, **_packed(packed)} if packed is not None else headers


def _value(name: str, attribute: Attribute) -> Any:
    if "BinaryValue" in attribute:
        return attribute["BinaryValue"]
    text = attribute.get("StringValue", "")
    return _number(text) if attribute.get("DataType") == "Number" and name not in _ALWAYS_TEXT else text


def _number(text: str) -> Any:
    """A number where that says the same: others may write more digits than a float keeps, or no number at all."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _DECIMAL.fullmatch(text):
        return text
    number = float(text)
    return number if Decimal(repr(number)) == Decimal(text) else text


def _packed(text: Any) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        values = None
    # Somebody else's header of that name stays what it is.
    if not isinstance(values, dict) or not _is_shallow(values):
        return {PACKED: text}
    return {name: _unpacked_bytes(value) if isinstance(value, dict) else value for name, value in values.items()}


def _unpacked_bytes(value: dict[str, Any]) -> Any:
    coded = value.get(_BASE64)
    try:
        return b64decode(coded) if isinstance(coded, str) else value
    except ValueError:
        return value


def _is_shallow(values: Any) -> bool:
    level = [values]
    for _ in range(_MAX_NESTING):
        level = [inner for outer in level for inner in _inside(outer)]
    return not level


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def decode(text: str, headers: dict[str, Any]) -> bytes:
    """The body as it was published; takes our marker out of `headers`."""
    encoding = headers.get(ENCODING)
    if not isinstance(encoding, str):
        return text.encode()
    outer, _, marker = encoding.rpartition(", ")
    if marker not in {_EMPTY, _BASE64}:
        return text.encode()
    if outer:
        headers[ENCODING] = outer
    else:
        del headers[ENCODING]
    return b"" if marker == _EMPTY else b64decode(text)
