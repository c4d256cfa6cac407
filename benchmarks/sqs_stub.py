"""An SQS that costs next to nothing: one queue in memory behind the JSON protocol, to measure consumers against.

python -m benchmarks.sqs_stub MESSAGES LATENCY_MS      prints its port

Nothing is delivered before `POST /open`, which may bring another body for all messages. `GET /done` is answered when
the last message was deleted, `GET /figures` at once. A receipt handle is good for one delete; a message is delivered
again only when it is made visible.
"""

import asyncio
import os
import sys
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import orjson

ORDER = {
    "order_id": "ord_01JABCDEFGHJKMNPQRSTVWXYZ0",
    "tenant_id": "ten_01JABCDEFGHJKMNPQRSTVWXYZ0",
    "currency": "ZAR",
    "customer": {"name": "Thandi Nkosi", "email": "thandi@example.org", "phone": "+27215550100"},
    "lines": [
        {"sku": f"wp-plan-{i:02}", "title": "Managed WordPress, one site, daily backups", "quantity": 1 + i % 3,
         "price_cents": 19900 + i, "tags": ["hosting", "wordpress"]}
        for i in range(8)
    ],
    "note": "x" * 148,
}  # fmt: skip
BODY = orjson.dumps(ORDER).decode()
_ATTRIBUTES = {
    "content-type": {"DataType": "String", "StringValue": "application/json"},
    "correlation_id": {"DataType": "String", "StringValue": "8d3cf8a2-5a0e-4a0f-9a54-2f9d3b1f6c11"},
}
_SYSTEM = {"ApproximateReceiveCount": "1", "SentTimestamp": "1790000000000",
           "ApproximateFirstReceiveTimestamp": "1790000000001"}  # fmt: skip


def pin(core: int) -> None:
    """This process runs on one core alone, where the system can do that and has more than one."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > core:
        os.sched_setaffinity(0, {core})


class Queue:
    """Messages by number, delivered once each."""

    def __init__(self, messages: int) -> None:
        self.total = messages
        self.body = BODY
        self.visible: deque[int] = deque()
        self.deleted: set[int] = set()
        self.in_flight: set[int] = set()
        self.most_in_flight = 0
        self.duplicate_deletes = 0
        self.requests: Counter[str] = Counter()
        self.waiting: deque[Callable[[], None]] = deque()
        self.done: list[Callable[[], None]] = []

    def open(self) -> None:
        """Everything is visible; who polls is served."""
        self.requests.clear()
        self.visible.extend(range(self.total))
        while self.waiting and self.visible:
            self.waiting.popleft()()

    def take(self, most: int) -> list[int]:
        taken = [self.visible.popleft() for _ in range(min(most, len(self.visible)))]
        self.in_flight.update(taken)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        return taken

    def delete(self, number: int) -> None:
        self.duplicate_deletes += number in self.deleted
        self.deleted.add(number)
        self.in_flight.discard(number)
        if len(self.deleted) == self.total:
            for tell in self.done:
                tell()
            self.done.clear()

    def make_visible(self, number: int) -> None:
        self.in_flight.discard(number)
        self.visible.append(number)

    def figures(self) -> dict[str, Any]:
        return {
            "requests": dict(self.requests),
            "deleted": len(self.deleted),
            "held": len(self.in_flight),
            "duplicate_deletes": self.duplicate_deletes,
            "most_in_flight": self.most_in_flight,
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests one after the other, each answered by the method `_<Operation>`."""

    def __init__(self, requests: Counter[str], latency_s: float = 0) -> None:
        self._requests = requests
        self._latency_s = latency_s
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            request, *lines = self._buffer[:end].split(b"\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
            length = int(headers.get(b"content-length", 0))
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._handle(request.split(b" ")[1].decode(), headers.get(b"x-amz-target", b""), body)

    def _handle(self, path: str, target: bytes, body: bytes) -> None:  # noqa: ARG002 - for those that have paths
        operation = target.rpartition(b".")[2].decode()
        self._requests[operation] += 1
        arguments = orjson.loads(body)
        if operation == "ReceiveMessage":
            self._receive(arguments)
        else:
            self._later(getattr(self, f"_{operation}")(arguments))

    def _receive(self, arguments: dict[str, Any]) -> None:
        waits_s = arguments.get("WaitTimeSeconds", 0)
        if not waits_s or not self._is_empty():
            self._later(self._delivery(arguments))
            return
        answered = False

        def answer() -> None:
            nonlocal answered
            if not answered and self._transport is not None and not self._transport.is_closing():
                answered = True
                self._later(self._delivery(arguments))

        self._wait(answer)
        self._loop.call_later(waits_s, answer)

    def _is_empty(self) -> bool:
        raise NotImplementedError

    def _wait(self, answer: Callable[[], None]) -> None:
        """Call it when there is a message; it may have been answered by then."""
        raise NotImplementedError

    def _delivery(self, arguments: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _GetQueueUrl(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - AWS's name
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return {"QueueUrl": f"http://{host}:{port}/000000000000/{arguments['QueueName']}"}

    def _later(self, answer: dict[str, Any]) -> None:
        content = orjson.dumps(answer)
        if self._latency_s:
            self._loop.call_later(self._latency_s, self._send, content)
        else:
            self._send(content)

    def _send(self, content: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 5b7cb8a2-0f4a-5c57-9d2e-0d6b4f2b8d11\r\n"
                b"Content-Type: application/x-amz-json-1.0\r\nconnection: keep-alive\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
            )


class QueueConnection(Connection):
    """Calls on a queue, and when it opens and is done."""

    def __init__(self, queue: Queue, latency_s: float) -> None:
        super().__init__(queue.requests, latency_s)
        self._queue = queue

    def _handle(self, path: str, target: bytes, body: bytes) -> None:
        if path == "/open":
            self._queue.body = body.decode() or BODY
            self._send(b"{}")
            self._queue.open()
        elif path == "/done":
            self._queue.done.append(lambda: self._send(b"{}"))
        elif path == "/figures":
            self._send(orjson.dumps(self._queue.figures()))
        else:
            super()._handle(path, target, body)

    def _is_empty(self) -> bool:
        return not self._queue.visible

    def _wait(self, answer: Callable[[], None]) -> None:
        self._queue.waiting.append(answer)

    def _delivery(self, arguments: dict[str, Any]) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        if arguments.get("MessageSystemAttributeNames") or arguments.get("AttributeNames"):
            extra["Attributes"] = _SYSTEM
        if arguments.get("MessageAttributeNames"):
            extra |= {"MessageAttributes": _ATTRIBUTES, "MD5OfMessageAttributes": "0" * 32}
        taken = self._queue.take(arguments.get("MaxNumberOfMessages", 1))
        return {"Messages": [_message(number, self._queue.body, extra) for number in taken]} if taken else {}

    def _DeleteMessageBatch(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - AWS's name
        for entry in arguments["Entries"]:
            self._queue.delete(_number(entry["ReceiptHandle"]))
        return {"Successful": [{"Id": entry["Id"]} for entry in arguments["Entries"]]}

    def _DeleteMessage(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._queue.delete(_number(arguments["ReceiptHandle"]))
        return {}

    def _ChangeMessageVisibilityBatch(self, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        for entry in arguments["Entries"]:
            if not entry["VisibilityTimeout"]:
                self._queue.make_visible(_number(entry["ReceiptHandle"]))
        return {"Successful": [{"Id": entry["Id"]} for entry in arguments["Entries"]]}

    def _GetQueueAttributes(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"Attributes": {"VisibilityTimeout": "30", "ApproximateNumberOfMessages": str(len(self._queue.visible))}}


def _message(number: int, body: str, extra: dict[str, Any]) -> dict[str, Any]:
    return {
        "MessageId": f"00000000-0000-4000-8000-{number:012}",
        # As long as those of AWS.
        "ReceiptHandle": f"{'AQEB' * 64}{number:012}",
        "MD5OfBody": "0" * 32,
        "Body": body,
        **extra,
    }


def _number(receipt_handle: str) -> int:
    return int(receipt_handle[-12:])


async def serve(messages: int, latency_s: float) -> None:
    """Until the process is ended."""
    queue = Queue(messages)
    server = await asyncio.get_running_loop().create_server(lambda: QueueConnection(queue, latency_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    pin(0)
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
