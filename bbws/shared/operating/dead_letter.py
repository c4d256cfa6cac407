"""One dead letter: why it died, how it is shown and kept, and the messages that are made of it."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import orjson

from bbws.shared.sqs import dead_letters as story
from bbws.shared.sqs import wire

NO_REASON = "crash or timeout (SQS moved it after too many receives)"
# What EventBridge writes beside an event that it could not hand to its rule's target.
_ERROR_CODE, _ERROR_MESSAGE = "ERROR_CODE", "ERROR_MESSAGE"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message as it lies in its dead-letter queue."""

    id: str
    queue: str
    body: str
    sent_at: datetime
    headers: Mapping[str, str]
    attributes: Mapping[str, Any]
    receipt_handle: str

    @classmethod
    def received(cls, queue: str, message: Mapping[str, Any]) -> Self:
        """From SQS's answer; the queue is named, not addressed."""
        attributes = message.get("MessageAttributes", {})
        return cls(
            id=message["MessageId"],
            queue=queue,
            body=message["Body"],
            sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
            headers=wire.unpack(attributes),
            attributes=attributes,
            receipt_handle=message["ReceiptHandle"],
        )

    @property
    def reason(self) -> str:
        if _ERROR_CODE in self.headers:
            return f"not delivered: {self.headers[_ERROR_CODE]}: {self.headers.get(_ERROR_MESSAGE, '')}"
        return self.headers.get(story.REASON, NO_REASON)

    @property
    def schema(self) -> str:
        """Which contract and version the body claims to be, or `unreadable`."""
        try:
            document = orjson.loads(self._content())
        except ValueError:
            return "unreadable"
        return str(document.get("dataschema", "unknown")) if isinstance(document, dict) else "unknown"

    @property
    def is_json(self) -> bool:
        """Whether the body as it was published is."""
        try:
            return is_json(self._content())
        except ValueError:
            return False

    def shown(self) -> dict[str, Any]:
        """All of it, the body decoded where it is JSON."""
        try:
            body: Any = orjson.loads(self._content())
        except ValueError:
            body = self.body
        headers = {name: value for name, value in self.headers.items() if not isinstance(value, bytes)}
        seen = {"id": self.id, "queue": self.queue, "deadSince": self.sent_at.isoformat()}
        return {**seen, "reason": self.reason, "headers": headers, "body": body}

    def archived(self) -> dict[str, Any]:
        """What is shown, and body and attributes as SQS had them, so that it can be sent again."""
        return {**self.shown(), "raw": {"body": self.body, "attributes": _as_json(self.attributes)}}

    def before_it_died(self) -> dict[str, Any]:
        """The message's own attributes, without those that tell how it failed: it must not look dead any more."""
        texts, typed = self._texts_and_typed()
        return wire.pack({name: value for name, value in texts.items() if name not in story.HEADERS}, typed)

    def with_content(self, content: bytes) -> tuple[str, dict[str, Any]]:
        """Body and attributes of a copy with another payload."""
        texts, typed = self._texts_and_typed()
        # Takes the marker of the old body's form out of the headers; the new body gets its own.
        wire.decode(self.body, texts)
        return wire.encode(content, texts, typed)

    def _content(self) -> bytes:
        """The body as it was published; raises ValueError where it claims an encoding that it has not."""
        return wire.decode(self.body, dict(self.headers))

    def _texts_and_typed(self) -> tuple[dict[str, Any], dict[str, Any]]:
        typed = {name: attribute for name, attribute in self.attributes.items() if attribute["DataType"] != "String"}
        return wire.unpack({name: each for name, each in self.attributes.items() if name not in typed}), typed


def is_json(content: bytes) -> bool:
    try:
        orjson.loads(content)
    except ValueError:
        return False
    return True


def _as_json(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Binary values as base64, as the AWS CLI writes and reads them."""
    return {
        name: {key: b64encode(value).decode() if isinstance(value, bytes) else value for key, value in each.items()}
        for name, each in attributes.items()
    }
