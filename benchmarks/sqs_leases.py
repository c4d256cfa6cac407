"""An SQS with leases, receive counts and redrive, at next to no cost: a queue `q` and its dead letters `q-dlq`.

python -m benchmarks.sqs_leases MESSAGES VISIBILITY_S MAX_RECEIVES     prints its port

The body of each message is its number. `GET /figures` says what became of them, `GET /letters` what lies in `q-dlq`.
"""

import asyncio
import heapq
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson

from benchmarks.sqs_stub import Connection, pin

ACCOUNT = "000000000000"
DEAD = "q-dlq"
_TICK_S = 0.05


@dataclass(slots=True)
class Message:
    """Somewhere between its first receive and its end."""

    id: str
    body: str
    attributes: dict[str, Any] = field(default_factory=dict)
    receives: int = 0
    handle: int = 0
    until: float = 0.0


class Leases:
    """Messages that nobody has received yet are only a counter, so that a million of them take no memory."""

    def __init__(self, messages: int, visibility_s: float, max_receives: int) -> None:
        self.visibility_s = visibility_s
        self.max_receives = max_receives
        self._fresh: Iterator[int] = iter(range(messages))
        self.left = messages
        self._visible: deque[Message] = deque()
        self._held: dict[int, Message] = {}
        self._ends: list[tuple[float, int]] = []
        self._handles = count(1)
        self._ids = count(messages)
        self.letters: list[Message] = []
        self.redriven = 0
        self.requests: Counter[str] = Counter()
        self.waiting: deque[Callable[[], None]] = deque()
        self.duplicate_deletes = 0

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def take(self, most: int, lease_s: float) -> list[Message]:
        taken: list[Message] = []
        while len(taken) < most and (message := self._next()) is not None:
            if message.receives >= self.max_receives:
                self.redriven += 1
                self._bury(message)
                continue
            message.receives += 1
            message.handle = next(self._handles)
            self._held[message.handle] = message
            self._hide(message, lease_s)
            taken.append(message)
        return taken

    def _next(self) -> Message | None:
        if self._visible:
            return self._visible.popleft()
        number = next(self._fresh, None)
        return None if number is None else Message(_id(number), str(number))

    def _hide(self, message: Message, seconds: float) -> None:
        message.until = self.now() + seconds
        heapq.heappush(self._ends, (message.until, message.handle))

    def expire(self) -> None:
        """What nobody extended is visible again."""
        now = self.now()
        while self._ends and self._ends[0][0] <= now:
            _, handle = heapq.heappop(self._ends)
            message = self._held.get(handle)
            if message is not None and message.until <= now:
                del self._held[handle]
                self._visible.append(message)
        while self.waiting and self.has_visible:
            self.waiting.popleft()()

    @property
    def has_visible(self) -> bool:
        return bool(self._visible) or self._fresh.__length_hint__() > 0  # type: ignore[attr-defined]

    def delete(self, handle: int) -> None:
        if self._held.pop(handle, None) is None:
            self.duplicate_deletes += 1
        else:
            self.left -= 1

    def change(self, handle: int, seconds: float) -> bool:
        message = self._held.get(handle)
        if message is not None:
            self._hide(message, seconds)
        return message is not None

    def send(self, queue: str, arguments: dict[str, Any]) -> str:
        message = Message(_id(next(self._ids)), arguments["MessageBody"], arguments.get("MessageAttributes") or {})
        if queue == DEAD:
            self.letters.append(message)
        elif delay_s := arguments.get("DelaySeconds"):
            self.left += 1
            message.handle = next(self._handles)
            self._held[message.handle] = message
            self._hide(message, delay_s)
        else:
            self.left += 1
            self._visible.append(message)
        return message.id

    def _bury(self, message: Message) -> None:
        self.left -= 1
        self.letters.append(message)

    def figures(self) -> dict[str, Any]:
        return {
            "left": self.left,
            "held": len(self._held),
            "letters": len(self.letters),
            "redriven": self.redriven,
            "duplicate_deletes": self.duplicate_deletes,
            "requests": dict(self.requests),
        }


class LeasedConnection(Connection):
    """The protocol of the stub, and SQS's state behind it."""

    def __init__(self, leases: Leases) -> None:
        super().__init__(leases.requests)
        self._leases = leases

    def _handle(self, path: str, target: bytes, body: bytes) -> None:
        if path == "/figures":
            self._send(orjson.dumps(self._leases.figures()))
        elif path == "/letters":
            self._send(orjson.dumps([[letter.body, letter.attributes] for letter in self._leases.letters]))
        else:
            super()._handle(path, target, body)

    def _is_empty(self) -> bool:
        return not self._leases.has_visible

    def _wait(self, answer: Callable[[], None]) -> None:
        self._leases.waiting.append(answer)

    def _delivery(self, arguments: dict[str, Any]) -> dict[str, Any]:
        lease_s = arguments.get("VisibilityTimeout", self._leases.visibility_s)
        taken = self._leases.take(arguments.get("MaxNumberOfMessages", 1), lease_s)
        return {"Messages": [_shown(message) for message in taken]} if taken else {}

    def _DeleteMessageBatch(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - AWS's name
        for entry in arguments["Entries"]:
            self._leases.delete(int(entry["ReceiptHandle"]))
        return {"Successful": [{"Id": entry["Id"]} for entry in arguments["Entries"]]}

    def _ChangeMessageVisibilityBatch(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        done, refused = [], []
        for entry in arguments["Entries"]:
            if self._leases.change(int(entry["ReceiptHandle"]), entry["VisibilityTimeout"]):
                done.append({"Id": entry["Id"]})
            else:
                refused.append({"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": True})
        self._leases.expire()
        return {"Successful": done, "Failed": refused}

    def _SendMessage(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"MessageId": self._leases.send(_queue(arguments), arguments), "MD5OfMessageBody": "0" * 32}

    def _SendMessageBatch(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        queue = _queue(arguments)
        sent = [{"Id": e["Id"], "MessageId": self._leases.send(queue, e)} for e in arguments["Entries"]]
        return {"Successful": sent}

    def _GetQueueAttributes(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = _queue(arguments)
        attributes = {
            "QueueArn": f"arn:aws:sqs:af-south-1:{ACCOUNT}:{name}",
            "VisibilityTimeout": f"{self._leases.visibility_s:.0f}",
        }
        if name != DEAD:
            policy = {"deadLetterTargetArn": f"arn:aws:sqs:af-south-1:{ACCOUNT}:{DEAD}"}
            attributes["RedrivePolicy"] = orjson.dumps(policy | {"maxReceiveCount": self._leases.max_receives}).decode()
        return {"Attributes": attributes}


def _shown(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "MessageId": message.id,
        "ReceiptHandle": str(message.handle),
        "MD5OfBody": "0" * 32,
        "Body": message.body,
        "Attributes": {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": "1790000000000",
            "ApproximateFirstReceiveTimestamp": "1790000000001",
        },
    }
    if message.attributes:
        shown["MessageAttributes"] = message.attributes
    return shown


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def _queue(arguments: dict[str, Any]) -> str:
    return str(arguments["QueueUrl"]).rpartition("/")[2]


async def serve(messages: int, visibility_s: float, max_receives: int) -> None:
    """Until the process is ended."""
    leases = Leases(messages, visibility_s, max_receives)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LeasedConnection(leases), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while server.is_serving():
        leases.expire()
        await asyncio.sleep(_TICK_S)


if __name__ == "__main__":
    pin(0)
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
