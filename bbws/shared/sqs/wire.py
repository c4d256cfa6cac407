"""The wire format: bodies as text that SQS accepts, headers as at most ten attributes, the rest packed into one.

Public, for those who read or write the messages without the broker: `encode` and `decode` bodies, `pack` and `unpack`
headers.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from . import limits

ENCODING = "content-encoding"
PACKED = "x-packed-headers"
CONTENT_TYPE = "content-type"
CORRELATION_ID = "correlation_id"
REPLY_TO = "reply_to"

_EMPTY = "empty"
_BASE64 = "base64"
# SQS takes only what XML 1.0 allows, whatever protocol is spoken.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r"(?!AWS\.|Amazon\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.IGNORECASE)
_NAME_LENGTH = 256

Attribute = dict[str, Any]


def encode(
    body: bytes, headers: Mapping[str, Any], others: Mapping[str, Attribute] | None = None
) -> tuple[str, dict[str, Attribute]]:
    """Body and attributes that SQS accepts and `decode` turns back into the same; `others` are added as they are."""
    text, marker = _encode_body(body)
    values = {name: str(value) for name, value in headers.items() if value is not None}
    if marker:
        # A content-encoding of the user's own stays readable in front of ours, as in HTTP.
        values[ENCODING] = f"{values[ENCODING]}, {marker}" if ENCODING in values else marker
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


def pack(values: Mapping[str, str], others: Mapping[str, Attribute] | None = None) -> dict[str, Attribute]:
    """Headers as String attributes in their order; what does not fit or is illegal goes into `x-packed-headers`.

    `others` are attributes that stay as they are and take their share of the ten.
    """
    kept = dict(others or {})
    illegal = [name for name, value in values.items() if not _is_legal(name, value)]
    room = limits.MAX_ATTRIBUTES - len(kept)
    legal = [name for name in values if name not in illegal]
    if illegal or len(legal) > room:
        legal = legal[: max(room - 1, 0)]
    direct = {name: {"DataType": "String", "StringValue": values[name]} for name in legal}
    rest = {name: value for name, value in values.items() if name not in direct}
    if rest:
        direct[PACKED] = {"DataType": "String", "StringValue": json.dumps(rest)}
    return {**direct, **kept}


def _is_legal(name: str, value: str) -> bool:
    return bool(value) and len(name) <= _NAME_LENGTH and bool(_NAME.fullmatch(name)) and not _ILLEGAL.search(value)


def unpack(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    """Headers of a received message: strings (numbers stay text), bytes for Binary attributes."""
    headers = {name: _value(attribute) for name, attribute in attributes.items()}
    packed = headers.pop(PACKED, None)
    return {**headers, **_packed(packed)} if packed is not None else headers


def _value(attribute: Attribute) -> Any:
    return attribute["BinaryValue"] if "BinaryValue" in attribute else attribute.get("StringValue", "")


def _packed(text: Any) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    # Somebody else's header of that name stays what it is.
    return values if isinstance(values, dict) else {PACKED: text}


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
