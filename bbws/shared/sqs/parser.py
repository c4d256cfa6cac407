"""From a received message to what handlers see; unwraps the envelope of SNS."""

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any, Literal

from faststream.message import StreamMessage, decode_message

from . import wire
from ._internal import json_loads
from .message import ReceivedBatch, ReceivedMessage, SQSBatchMessage, SQSMessage
from .payloads import Payloads, pointer_in

_JSON = "application/json"
UnwrapSNS = Literal["auto", True, False]


class SQSParser:
    """`unwrap_sns`: "auto" recognises an envelope, True insists on one (ValueError otherwise), False never looks.

    `payloads` gives access to bodies in S3; without it a pointer to one is a body like others.
    """

    def __init__(self, unwrap_sns: UnwrapSNS = "auto", payloads: Callable[[], Payloads | None] = lambda: None) -> None:
        self._unwrap = unwrap_sns
        self._payloads = payloads

    async def parse_message(self, raw: ReceivedMessage) -> SQSMessage:
        """The message with body and headers as they were published."""
        text, attributes, topic_arn = raw["Body"], raw.get("MessageAttributes", {}), None
        if envelope := self._envelope(text):
            text, topic_arn = envelope["Message"], envelope["TopicArn"]
            # A dead letter has its story outside of the envelope.
            attributes = {**_attributes_of(envelope), **attributes}
        if (pointer := pointer_in(text, attributes)) and (payloads := self._payloads()):
            text, raw.pointer = await payloads.fetch(pointer), pointer
        headers = raw.headers = wire.unpack(attributes)
        if raw.requeued is not None:
            headers.pop(wire.REQUEUED, None)
        message = SQSMessage(
            raw,
            wire.decode(text, headers),
            headers=headers,
            reply_to=headers.get(wire.REPLY_TO, ""),
            content_type=headers.get(wire.CONTENT_TYPE),
            correlation_id=headers.get(wire.CORRELATION_ID) or raw.message_id,
            message_id=raw.message_id,
        )
        message.topic_arn = topic_arn
        return message

    async def decode_message(self, message: StreamMessage[Any]) -> Any:
        """The body by its content type; without one, JSON where it is JSON."""
        if message.content_type == _JSON:
            # What FastStream's own comes to, after a look at each of the types it knows.
            return json_loads(message.body)
        return decode_message(message)

    async def parse_batch(self, raw: ReceivedBatch) -> SQSBatchMessage:
        """The messages of a batch, each with its body and headers."""
        return SQSBatchMessage(raw, [await self.parse_message(one) for one in raw])

    # FastStream knows a batch by this name.
    async def decode_batch(self, message: StreamMessage[Any]) -> list[Any]:
        """The bodies, each by its own content type."""
        assert isinstance(message, SQSBatchMessage)
        return [await self.decode_message(one) for one in message.messages]

    def _envelope(self, text: str) -> dict[str, Any] | None:
        if self._unwrap is False:
            return None
        # Three cheap looks before the costly one: most bodies are no envelope.
        if self._unwrap == "auto" and not (text[:1] == "{" and '"TopicArn"' in text and '"Notification"' in text):
            return None
        envelope = _json_object(text)
        if envelope.get("Type") == "Notification" and "TopicArn" in envelope and "Message" in envelope:
            return envelope
        if self._unwrap == "auto":
            return None
        raise ValueError("expected a notification of SNS, got something else; is raw delivery on?")


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _attributes_of(envelope: dict[str, Any]) -> dict[str, wire.Attribute]:
    return {name: _attribute(a["Type"], a["Value"]) for name, a in envelope.get("MessageAttributes", {}).items()}


def _attribute(kind: str, value: str) -> wire.Attribute:
    if kind == "Binary":
        return {"DataType": kind, "BinaryValue": b64decode(value)}
    return {"DataType": kind, "StringValue": value}
