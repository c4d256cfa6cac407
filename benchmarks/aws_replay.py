"""An AWS that costs next to nothing: what was read once of DynamoDB it says again, what is written it confirms.

python -m benchmarks.aws_replay PORT URL      URL is the emulator's, which answers everything else

So servers are measured, and not how an emulator on the same cores keeps them waiting. It begins at `PUT /_bbws/replay`;
until then everything is passed on. `GET /_bbws/calls` says how many calls there were.
"""

import asyncio
import sys
from functools import partial
from typing import Any
from zlib import crc32

import aiohttp
import orjson

try:
    import uvloop
except ImportError:
    pass
else:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

CALLS = "/_bbws/calls"
BEGIN = "/_bbws/replay"
READS = frozenset({"GetItem", "Query", "BatchGetItem"})
WRITES = frozenset({"PutItem", "UpdateItem", "TransactWriteItems"})


class Replay:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._said: dict[tuple[str, bytes], bytes] = {}
        self.calls = 0
        self.has_begun = False

    async def asked(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        """The emulator's answer: status, media type, content."""
        async with self._session.request(method, self._url + path, headers=headers, data=body) as answer:
            return answer.status, answer.headers.get("Content-Type", "text/plain"), await answer.read()

    def known(self, operation: str, body: bytes) -> bytes | None:
        self.calls += 1
        return b"{}" if operation in WRITES else self._said.get(_place(operation, body))

    def learn(self, operation: str, body: bytes, content: bytes) -> None:
        self._said[_place(operation, body)] = content


def _place(operation: str, body: bytes) -> tuple[str, bytes]:
    # Each new order asks for itself, beside the same tenant and product.
    return operation, b"" if operation == "BatchGetItem" else body


class Connection(asyncio.Protocol):
    """Requests one after the other."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._buffer = b""
        self._transport: Any = None
        self._forwarding: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        request, *lines = self._buffer[:end].decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], b""
        method, path, _ = request.split(" ")
        self._handle(method, path, headers, body)

    def _handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        if path == BEGIN:
            self._replay.has_begun = True
        if path.startswith((CALLS, BEGIN)):
            self._answer(200, "application/json", orjson.dumps(self._replay.calls))
            return
        target = headers.get("x-amz-target", "")
        operation = target.partition(".")[2] if target.startswith("DynamoDB_") else ""
        is_ours = self._replay.has_begun and operation in READS | WRITES
        known = self._replay.known(operation, body) if is_ours else None
        if known is not None:
            self._answer(200, "application/x-amz-json-1.0", known)
            return
        headers = {name: value for name, value in headers.items() if name not in {"host", "content-length"}}
        self._forwarding = asyncio.create_task(self._forward(operation, method, path, headers, body))

    async def _forward(self, operation: str, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        status, media, content = await self._replay.asked(method, path, headers, body)
        if operation in READS and status == 200 and self._replay.has_begun:
            self._replay.learn(operation, body, content)
        self._answer(status, media, content)

    def _answer(self, status: int, media: str, content: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 %d X\r\nx-amzn-RequestId: 5b7cb8a2-0f4a-5c57-9d2e-0d6b4f2b8d11\r\nx-amz-crc32: %d\r\n"
            b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (status, crc32(content), media.encode(), len(content), content)
        )


async def serve(port: int, url: str) -> None:
    """Until the process is ended."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        replay = Replay(session, url)
        server = await asyncio.get_running_loop().create_server(partial(Connection, replay), "127.0.0.1", port)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
