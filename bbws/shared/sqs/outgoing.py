"""One message as it is sent to SQS or SNS: its size, its headers, and what fits together into one call."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import limits, wire
from .errors import MessageTooLarge
from .wire import Attribute


@dataclass
class Outgoing:
    """Body and attributes as on the wire, and the fields of SQS and SNS that are set."""

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
    return limits.MAX_SNS_MESSAGE_BYTES if is_topic else limits.MAX_SQS_MESSAGE_BYTES


def _attribute_size(name: str, attribute: Attribute) -> int:
    value = attribute.get("StringValue") or attribute.get("BinaryValue") or ""
    return len(name) + len(attribute["DataType"]) + len(value if isinstance(value, bytes) else value.encode())


def headers_of_command(
    headers: Mapping[str, Any], *, content_type: str | None, correlation_id: str | None, reply_to: str
) -> dict[str, Any]:
    """The user's headers first: SNS filters see attributes only, and the last ones are packed when there are many."""
    own = ((wire.CONTENT_TYPE, content_type), (wire.CORRELATION_ID, correlation_id), (wire.REPLY_TO, reply_to))
    return {**headers, **{name: value for name, value in own if value}}


def chunks(messages: Iterable[Outgoing], *, is_topic: bool) -> Iterable[list[int]]:
    """Indexes of messages that fit together into one call: at most ten, and not over the limit in total."""
    chunk: list[int] = []
    size = 0
    for index, message in enumerate(messages):
        if chunk and (len(chunk) == limits.MAX_BATCH_ENTRIES or size + message.size > message_limit(is_topic=is_topic)):
            yield chunk
            chunk, size = [], 0
        chunk.append(index)
        size += message.size
    if chunk:
        yield chunk
