"""What a copy in the place of a message says of the message, since SQS counts the receives of the copy anew.

A header of our own, which handlers do not see: `x-requeued`, JSON with failures and receives so far, and the id and
times of the first message.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from . import wire
from .wire import Attribute

# Whoever may send can write this header: beyond these it is not ours, and would break what counts, logs and dates it.
_MAX_COUNT = 1_000_000
_MAX_TIME_MS = 253_402_300_799_999  # the year 9999
_ID = re.compile(r"[A-Za-z0-9-]{1,100}")


class Requeued(NamedTuple):
    """`failures` and `receives` before this copy; times in milliseconds since 1970."""

    failures: int
    receives: int
    message_id: str
    sent: str
    first_seen: str


def requeued(attributes: Mapping[str, Attribute] | None) -> Requeued | None:
    """What the attributes of a received message say; None of one that was never requeued."""
    if not attributes:
        return None
    if (attribute := attributes.get(wire.REQUEUED)) is not None:
        return _read(attribute.get("StringValue"))
    packed = attributes.get(wire.PACKED, {}).get("StringValue", "")
    # Packed where the message has attributes enough of its own.
    return _read(wire.unpack(attributes).get(wire.REQUEUED)) if wire.REQUEUED in packed else None


def _read(text: Any) -> Requeued | None:
    try:
        said = json.loads(text)
        counts = int(said["failures"]), int(said["receives"])
        times = int(said["sent"]), int(said["first-seen"])
        message_id = str(said["message-id"])
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        # Somebody else's header of that name.
        return None
    is_ours = min(*counts, *times) >= 0 and max(counts) <= _MAX_COUNT and max(times) <= _MAX_TIME_MS
    return Requeued(*counts, message_id, *map(str, times)) if is_ours and _ID.fullmatch(message_id) else None


def written(said: Requeued) -> str:
    """As the header carries it."""
    return json.dumps(
        {
            "failures": said.failures,
            "receives": said.receives,
            "message-id": said.message_id,
            "sent": said.sent,
            "first-seen": said.first_seen,
        }
    )
