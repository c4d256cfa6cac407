"""Containers know each other by other addresses than the browser knows them: a sale must work across both."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bbws.local.demo import sell
from bbws.local.ports import Ports
from bbws.local.up import System
from bbws.shared.settings import Settings
from tests.deploy.support import ours
from tests.support.forks import forked

# The fields of Settings that compose fills with addresses; the browser's for documents is an address of its own here.
BROWSER = ("public_base_url", "payfast_url")
INSIDE = ("payfast_server_url", "payfast_notify_base_url")
# A name that only this process can resolve, as only the browser can reach a published port.
ONLY_HERE = "browser.invalid"


@pytest.mark.e2e
async def test_a_sale_works_with_the_addresses_of_compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PayFast must reach the gateway, the gateway PayFast, and the browser both, although none shares a name."""
    for variable, value in ours()["gateway"]["environment"].items():
        monkeypatch.setenv(variable, value)
    declared = Settings()
    monkeypatch.setattr(socket, "getaddrinfo", _resolving_here(socket.getaddrinfo))
    ports = Ports.free()
    said: list[str] = []
    async with (
        _published(ports.emulator) as (documents, asked),
        System(tmp_path, spawn=forked, ports=ports, settings=_on_this_machine(declared, ports, documents)) as system,
    ):
        await sell(system, said.append)
    assert said[-1] == "dead letters: 0"
    assert asked
    assert all(line.startswith("GET /") and "X-Amz-Signature=" in line for line in asked), "no container gets there"


@asynccontextmanager
async def _published(port: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A port as a container engine publishes it, and the request line of each connection that came through it."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        asked.append(line.decode().strip())
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        inner_writer.write(line)
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes goes on, until either side is closed."""
    try:
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def _on_this_machine(declared: Settings, ports: Ports, documents: str) -> dict[str, object]:
    """The same settings: what the browser uses only this process can reach; what containers use is loopback."""
    port_of = {8080: ports.gateway, 8081: ports.payfast}
    addresses = {field: _moved(getattr(declared, field), ONLY_HERE, port_of) for field in BROWSER}
    addresses |= {field: _moved(getattr(declared, field), "127.0.0.1", port_of) for field in INSIDE}
    assert declared.payfast_source_hosts == ("payfast",)
    assert declared.documents_endpoint_url != declared.aws_endpoint_url
    return {
        **addresses,
        "documents_endpoint_url": documents,
        "payfast_source_hosts": ("localhost",),
        "payfast_source_ranges": declared.payfast_source_ranges,
        "payfast_passphrase": declared.payfast_passphrase,
        "mail_transport": declared.mail_transport,
    }


def _moved(url: str, host: str, port_of: dict[int, int]) -> str:
    port = int(url.rsplit(":", 1)[1])
    return f"http://{host}:{port_of[port]}"


def _resolving_here(real: Any) -> Any:
    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == ONLY_HERE else host, *arguments, **options)

    return getaddrinfo
