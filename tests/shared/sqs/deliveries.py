"""What ReceiveMessage answered, before the receiver sees it: late, in another order, or twice, as SQS may do it."""

import json
from typing import Any

# Ends the second receipt of a message; AWS has never seen it.
_AGAIN = "~again"


class Deliveries:
    """`handed_out` are the receipts that reached the receiver, `deleted` those that came back to be deleted."""

    def __init__(self) -> None:
        self.handed_out: list[str] = []
        self.deleted: set[str] = set()
        self._kept_back: list[dict[str, Any]] = []

    @property
    def repeated(self) -> int:
        """Messages that were delivered a second time."""
        return sum(receipt.endswith(_AGAIN) for receipt in self.handed_out)

    @property
    def are_all_out(self) -> bool:
        """Whether nothing waits for the next answer."""
        return not self._kept_back

    def answer(self, content: bytes, most: int, fault: str) -> bytes:
        """At most `most` messages: what was kept back, and what came now.

        "reordered": half of them come later, the rest in reverse. "duplicated": every second one comes again with
        the next answer, under a receipt of its own.
        """
        reordered, duplicated = fault == "reordered", fault == "duplicated"
        came: list[dict[str, Any]] = json.loads(content).get("Messages", [])
        messages = self._kept_back + came
        later = messages[: len(messages) // 2] if reordered and came else []
        now = messages[len(later) :]
        now, later = now[:most], later + now[most:]
        self._kept_back = later + [_again(message) for message in now[::2] if duplicated and _is_first(message)]
        now = now[::-1] if reordered else now
        self.handed_out += [message["ReceiptHandle"] for message in now]
        return json.dumps({"Messages": now} if now else {}).encode()

    def request(self, operation: str, content: bytes) -> bytes:
        """As AWS understands it: both receipts of a message are good."""
        if operation == "DeleteMessageBatch":
            self.deleted.update(entry["ReceiptHandle"] for entry in json.loads(content)["Entries"])
        return content.replace(_AGAIN.encode(), b"")


def _is_first(message: dict[str, Any]) -> bool:
    return not message["ReceiptHandle"].endswith(_AGAIN)


def _again(message: dict[str, Any]) -> dict[str, Any]:
    system = message["Attributes"]
    count = str(int(system["ApproximateReceiveCount"]) + 1)
    return {
        **message,
        "ReceiptHandle": message["ReceiptHandle"] + _AGAIN,
        "Attributes": {**system, "ApproximateReceiveCount": count},
    }
