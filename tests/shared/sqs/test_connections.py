"""Connections that never were, and connections that are too few: the same with either client."""

import ast
import asyncio
import inspect
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiobotocore import httpsession
from aiobotocore.config import AioConfig
from aiohttp import http_exceptions
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from botocore.retries.standard import ExponentialBackoff
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bbws.shared.sqs import SQSBroker, SQSQueue
from bbws.shared.sqs.connection import ClientName
from tests.shared.sqs.faulty import network
from tests.shared.sqs.test_clients import BOTH, connection
from tests.shared.sqs.worlds import broker_on, is_empty, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

INFO = RequestInfo(URL("http://127.0.0.1:9"), "POST", CIMultiDictProxy(CIMultiDict()), URL("http://127.0.0.1:9"))
KEY = ConnectionKey("127.0.0.1", 9, False, True, None, None, None)
POLL_S = 6
PATIENT = AioConfig(retries={"mode": "standard", "total_max_attempts": 8})


SEND = ast.parse(textwrap.dedent(inspect.getsource(httpsession.AIOHTTPSession.send)))
RAISED = {
    getattr(httpsession, node.exc.func.id)
    for node in ast.walk(SEND)
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
}


def what_send_translates() -> Iterator[BaseException]:
    """An error of each class that aiobotocore's `send` knows, as its source says, and of aiohttp's own others."""
    handlers = [node.type for node in ast.walk(SEND) if isinstance(node, ast.ExceptHandler) and node.type]
    named = [name for node in handlers for name in (node.elts if isinstance(node, ast.Tuple) else [node])]
    kinds = [eval(ast.unparse(name), vars(httpsession)) for name in named]
    of_aiohttp = [*_subclasses(aiohttp.ClientError), *_subclasses(http_exceptions.HttpProcessingError)]
    for kind in dict.fromkeys([*kinds, *of_aiohttp, OSError, ConnectionResetError, TimeoutError]):
        if issubclass(kind, Exception) and kind is not httpsession.CancelledError:
            yield from _made(kind)


def _subclasses(kind: type[Exception]) -> list[type[Exception]]:
    known = {**vars(aiohttp), **vars(http_exceptions)}.values()
    return [each for each in known if inspect.isclass(each) and issubclass(each, kind)]


def _made(kind: type[BaseException]) -> Iterator[BaseException]:
    if issubclass(kind, aiohttp.ClientConnectorError):
        yield kind(KEY, OSError("refused"))
    elif issubclass(kind, aiohttp.ClientConnectorCertificateError):
        yield kind(KEY, Exception("no certificate"))
    elif issubclass(kind, aiohttp.ClientResponseError):
        yield kind(INFO, ())
    elif issubclass(kind, aiohttp.ServerFingerprintMismatch):
        yield kind(b"", b"", "127.0.0.1", 9)
    elif kind is http_exceptions.HttpProcessingError:
        yield kind()
    elif kind is http_exceptions.LineTooLong:
        yield kind(b"x")
    else:
        yield kind("Connection timeout to host")
        yield kind("Timeout on reading data")


@pytest.mark.process
@pytest.mark.parametrize("where", ["connecting", "reading"])
async def test_each_error_of_the_transport_is_what_it_is_to_botocore(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same class and text, tried as often: who cannot connect is not given up where botocore would go on."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    tries: list[int] = []
    error: BaseException = Exception()

    async def fails(*_: Any, **__: Any) -> Any:
        tries.append(1)
        raise error

    names: tuple[ClientName, ...] = ("fast", "botocore")
    told_by: dict[str, dict[str, Any]] = {name: {} for name in names}
    async with silence() as address:
        for name in names:
            line = connection(address, name, client_config=PATIENT)
            client = await line.open(max_connections=2)
            with monkeypatch.context() as broken:
                of = aiohttp.TCPConnector if where == "connecting" else ResponseHandler
                broken.setattr(of, "connect" if where == "connecting" else "read", fails)
                for error in what_send_translates():
                    tries.clear()
                    with pytest.raises(Exception) as told:
                        await client.delete_batch("http://x/1/q", ["receipt"])
                    told_by[name][repr(error)] = (type(told.value), str(told.value), len(tries))
            await line.close()
    assert told_by["fast"] == told_by["botocore"]
    # A connection that takes too long has an error of its own.
    expected = RAISED - ({httpsession.ReadTimeoutError} if where == "connecting" else set())
    assert {kind for kind, _, _ in told_by["botocore"].values()} >= expected


@asynccontextmanager
async def silence() -> AsyncIterator[Aws]:
    """Somebody who takes connections and says nothing."""

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield Aws(f"http://127.0.0.1:{port}", "123456789012")


@BOTH
async def test_a_port_that_is_closed_for_a_moment_is_asked_again(aws: Aws, name: ClientName) -> None:
    """A balancer that is replaced: botocore's retries outlast it, and so do ours."""
    async with network(aws) as (between, address):
        broker = broker_on(address, client=name, client_config=PATIENT)
        broker.publisher(SQSQueue("brief"))
        async with started(broker):
            await broker.publish("found", "brief")
            await between.unplug()
            # The pool finds its connections closed, and has to make one.
            await asyncio.sleep(0.05)
            publishing = asyncio.create_task(broker.publish("x", "brief"))
            await asyncio.sleep(0.1)
            assert not publishing.done()
            await between.plug_in()
            assert await publishing
    assert between.forwarded["SendMessage"] == 2


@BOTH
async def test_what_was_handled_in_an_outage_is_deleted(aws: Aws, name: ClientName) -> None:
    """Ten handlers end while nobody can be reached for two seconds: their messages do not come again."""
    handled: list[int] = []
    over = asyncio.Event()
    async with network(aws) as (between, address):
        broker = broker_on(address, client=name, client_config=PATIENT)

        @broker.subscriber(SQSQueue("outage", visibility_timeout=60), wait_time=0, max_workers=10)
        async def handle(number: int) -> None:
            handled.append(number)
            await over.wait()

        async with started(broker):
            await broker.publish_batch(*range(10), queue="outage")
            await eventually(lambda: len(handled) == 10, what="all are in work")
            await between.unplug()
            over.set()
            await asyncio.sleep(2)
            assert not between.forwarded["DeleteMessageBatch"]
            await between.plug_in()
            await eventually(partial(is_empty, aws, "outage"), what="all are deleted", within_s=30)
    assert sorted(handled) == list(range(10))


@BOTH
@pytest.mark.parametrize("subscribers", ["registered after connect", "more than connections"])
async def test_long_polls_leave_connections_to_all_else(aws: Aws, name: ClientName, subscribers: str) -> None:
    """Each poll holds its connection until it ends: deletes and publishes must not wait for that."""
    late = subscribers == "registered after connect"
    config = None if late else AioConfig(max_pool_connections=10)
    broker = broker_on(aws, client=name, client_config=config)
    queues = [f"crowd-{number}" for number in range(10 if late else 12)]
    handled: set[str] = set()
    if late:
        await broker.connect()
    for queue in queues:
        subscribe(broker, queue, handled)
    async with started(broker):
        await eventually(lambda: polls_at_least(aws, len(queues)), what="every subscriber waits for messages")
        async with asyncio.timeout(POLL_S - 2):
            await asyncio.gather(*(broker.publish("x", queue) for queue in queues))
        await eventually(lambda: handled == set(queues), what="each message is handled", within_s=POLL_S - 2)
        for queue in queues:
            await eventually(partial(is_empty, aws, queue), what="each message is deleted", within_s=POLL_S - 2)


def subscribe(broker: SQSBroker, queue: str, handled: set[str]) -> None:
    @broker.subscriber(queue, wait_time=POLL_S)
    async def handle(text: str) -> None:
        handled.add(queue)


async def polls_at_least(aws: Aws, count: int) -> bool:
    return await aws.open_polls() >= count
