"""How bodies and headers travel: text that SQS accepts, at most ten attributes, the rest packed into one."""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import limits
from .errors import MessageTooLarge

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


@dataclass
class Outgoing:
    """One message as it is sent to SQS or SNS."""

    body: str
    attributes: dict[str, Attribute] = field(default_factory=dict)
    group_id: str | None = None
    deduplication_id: str | None = None
    delay_s: int | None = None
    subject: str | None = None

    @property
    def size(self) -> int:
        """Bytes that count against the limits: body, and each attribute's name, type and value."""
        return len(self.body.encode()) + sum(_attribute_size(n, a) for n, a in self.attributes.items())

    def check_size(self, *, is_topic: bool) -> None:
        """Raises MessageTooLarge where the service would refuse it."""
        limit = message_limit(is_topic=is_topic)
        if self.size > limit:
            raise MessageTooLarge(size=self.size, limit=limit, service="SNS" if is_topic else "SQS")


def message_limit(*, is_topic: bool) -> int:
    """Bytes that one message, and one batch, may have."""
    return limits.SNS_MESSAGE_BYTES if is_topic else limits.SQS_MESSAGE_BYTES


def _attribute_size(name: str, attribute: Attribute) -> int:
    value = attribute.get("StringValue") or attribute.get("BinaryValue") or ""
    return len(name) + len(attribute["DataType"]) + len(value if isinstance(value, bytes) else value.encode())


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
    room = limits.ATTRIBUTES - len(kept)
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


def headers_of_command(
    headers: Mapping[str, Any], *, content_type: str | None, correlation_id: str | None, reply_to: str
) -> dict[str, Any]:
    """The user's headers first: SNS filters see attributes only, and the last ones are packed when there are many."""
    own = ((CONTENT_TYPE, content_type), (CORRELATION_ID, correlation_id), (REPLY_TO, reply_to))
    return {**headers, **{name: value for name, value in own if value}}


def chunks(messages: Iterable[Outgoing], *, is_topic: bool) -> Iterable[list[int]]:
    """Indexes of messages that fit together into one call: at most ten, and not over the limit in total."""
    chunk: list[int] = []
    size = 0
    for index, message in enumerate(messages):
        if chunk and (len(chunk) == limits.BATCH_ENTRIES or size + message.size > message_limit(is_topic=is_topic)):
            yield chunk
            chunk, size = [], 0
        chunk.append(index)
        size += message.size
    if chunk:
        yield chunk
