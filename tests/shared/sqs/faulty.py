"""A network between broker and AWS that can be told to go wrong."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ssl import SSLContext
from typing import Any, Literal

import aiohttp

from tests.shared.sqs.deliveries import Deliveries
from tests.shared.sqs.wires import JSON_HEADERS, answer, read_request
from tests.support.emulator import Aws

Fault = Literal[
    "", "throttle", "500", "expired", "reset", "answer lost", "truncated", "garbage", "slow", "close",
    "reordered", "duplicated", "lease lost",
]  # fmt: skip

_ERRORS = {
    "throttle": (400, "com.amazonaws.sqs#RequestThrottled"),
    "500": (500, "com.amazonaws.sqs#InternalError"),
    "expired": (403, "com.amazonaws.sqs#ExpiredToken"),
}
LAST = (("Connection", "close"),)
_OK = 200
# With these the answer can be read.
_ARRIVES = frozenset({"", "slow", "close", "reordered", "duplicated", "lease lost"})


@dataclass
class Network:
    """Forwards to an AWS. `plan` says what happens to each call: operation and its number from 1 on."""

    aws: Aws
    plan: Callable[[str, int], Fault] = lambda _, __: ""
    slow_s: float = 0.2
    calls: Counter[str] = field(default_factory=Counter)
    forwarded: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    deliveries: Deliveries = field(default_factory=Deliveries)
    tls: SSLContext | None = None
    port: int = 0
    _server: asyncio.Server | None = None
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def plug_in(self) -> None:
        """Connections are taken, at the port of before."""
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def unplug(self) -> None:
        """Nobody listens any more, and no connection is open."""
        if self._server is not None:
            self._server.close()
        await self.close()

    def always(self, operation: str, *faults: Fault) -> None:
        """The first calls of this operation meet these faults, one after the other."""
        self.plan = lambda name, number: faults[number - 1] if name == operation and number <= len(faults) else ""

    def every(self, step: int, faults: Sequence[Fault]) -> None:
        """Every so many calls of each operation meet one of these faults in turn."""
        self.plan = lambda _, number: "" if number % step else faults[(number // step) % len(faults)]

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        self.plan = lambda _, __: ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends or a fault ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            async with aiohttp.ClientSession() as session:
                while await self._exchange(session, reader, writer):
                    pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def close(self) -> None:
        """No connection is open."""
        for task in (serving := set(self._serving)):
            task.cancel()
        await asyncio.gather(*serving)

    async def _exchange(
        self, session: aiohttp.ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        request = await read_request(reader)
        operation, body = request.operation, request.body
        headers = {name: value for name, value in request.headers.items() if name not in {"content-length", "host"}}
        self.calls[operation] += 1
        self.keys.append(request.access_key_id)
        self.targets.append(request.target)
        fault = self.plan(operation, self.calls[operation])
        if fault == "slow":
            await asyncio.sleep(self.slow_s)
        if fault == "reset":
            writer.transport.abort()
            return False
        if fault in _ERRORS:
            status, code = _ERRORS[fault]
            answer(writer, status, json.dumps({"__type": code, "message": fault}).encode())
            return True
        forwarded = self.deliveries.request(operation, body)
        async with session.post(self.aws.endpoint_url, data=forwarded, headers=headers) as answered:
            content = await answered.read()
        self.forwarded[operation] += 1
        if operation == "ReceiveMessage" and answered.status == _OK and fault in _ARRIVES:
            asked = json.loads(body)
            if fault == "lease lost":
                await self._give_back(session, headers, asked["QueueUrl"], json.loads(content).get("Messages", []))
            content = self.deliveries.answer(content, asked["MaxNumberOfMessages"], fault)
        return self._pass_back(writer, fault, answered.status, content)

    async def _give_back(
        self, session: aiohttp.ClientSession, headers: dict[str, str], url: str, messages: list[dict[str, Any]]
    ) -> None:
        """To SQS they look as if their receiver had taken too long: they come again, under other receipts."""
        if not messages:
            return
        entries = [
            {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
            for i, message in enumerate(messages)
        ]
        body = {"QueueUrl": url, "Entries": entries}
        headers = headers | {"x-amz-target": "AmazonSQS.ChangeMessageVisibilityBatch"}
        async with session.post(self.aws.endpoint_url, json=body, headers=headers) as answered:
            assert not (await answered.json(content_type=None)).get("Failed")

    def _pass_back(self, writer: asyncio.StreamWriter, fault: Fault, status: int, content: bytes) -> bool:
        if fault == "answer lost":
            writer.transport.abort()
        elif fault == "truncated":
            answer(writer, status, content, length=len(content) + 1)
        elif fault == "garbage":
            answer(writer, status, b"<html>" + content[:-1])
        else:
            answer(writer, status, content, headers=(*JSON_HEADERS, *(LAST if fault == "close" else ())))
        return fault not in {"answer lost", "truncated", "close"}


@asynccontextmanager
async def network(aws: Aws, *, tls: SSLContext | None = None) -> AsyncIterator[tuple[Network, Aws]]:
    """A network, and the AWS behind it as the broker should address it."""
    between = Network(aws, tls=tls)
    await between.plug_in()
    try:
        yield between, replace(aws, endpoint_url=f"{'https' if tls else 'http'}://localhost:{between.port}")
    finally:
        await between.unplug()
