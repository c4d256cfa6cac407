"""Requests per second of the gateway for POST orders and GET order, beside a bare aiohttp handler.

Gateway, bare handler, emulator and client are processes of one machine. Each round measures all four in turn, so that
whatever else the machine does falls on all of them; medians over the rounds are compared.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import click
import orjson

from bbws.demo import ADDRESS
from bbws.demo_data import PRODUCTS, product_id, seed
from bbws.provision import Provisioner
from bbws.shared.bootstrap import aws_clients, bootstrap
from bbws.shared.ids import new_id
from bbws.shared.integrations.local.emulator_process import Emulator
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from bbws.up import Ports
from benchmarks.figures import percentile, table

READY_WITHIN_S = 30.0
CALLS_COUNTED_OVER = 20

Request = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Case:
    """One kind of request to one server, and what each round measured of it."""

    name: str
    send: Request
    per_second: list[float] = field(default_factory=list)
    durations_s: list[float] = field(default_factory=list)
    aws_calls: float = 0.0

    async def round(self, clients: int, seconds: float) -> None:
        """`clients` send one request after the other for so long."""
        start = time.perf_counter()
        counts = await asyncio.gather(*(self._client(start + seconds) for _ in range(clients)))
        self.per_second.append(sum(counts) / (time.perf_counter() - start))

    async def _client(self, until: float) -> int:
        count = 0
        while (before := time.perf_counter()) < until:
            await self.send()
            self.durations_s.append(time.perf_counter() - before)
            count += 1
        return count


class Orders:
    """Orders of one tenant, at the gateway or at the bare handler."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, tenant_id: str, product_id: str) -> None:
        self._session = session
        self._url = f"{base_url}/v1.0/tenants/{tenant_id}/orders"
        lines = [{"productId": product_id, "quantity": 1}]
        self._body = orjson.dumps(
            {"items": lines, "billingAddress": ADDRESS, "customerEmail": "thandi@protea-bakery.example"}
        )

    async def place(self) -> bytes:
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{new_id()}"'}
        async with self._session.post(self._url, data=self._body, headers=headers) as answer:
            return await _checked(answer, 201)

    async def read(self, order_id: str) -> bytes:
        async with self._session.get(f"{self._url}/{order_id}") as answer:
            return await _checked(answer, 200)

    def cases(self, name: str, order_id: str) -> tuple[Case, Case]:
        async def place() -> None:
            await self.place()

        async def read() -> None:
            await self.read(order_id)

        return Case(f"POST orders, {name}", place), Case(f"GET order, {name}", read)


async def measure(rounds: int, seconds: float, clients: int) -> None:
    ports = Ports.free()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        async with (
            Emulator(folder / "aws", folder / "mail", port=ports.emulator),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            settings = _settings(ports)
            on_sale = await _provision(settings)
            with _process(["-m", "bbws", "gateway"], settings, folder / "gateway.log"):
                await _ready(session, f"{settings.public_base_url}/readyz")
                tenant_id = await _tenant(session, settings.public_base_url)
                ours = Orders(session, settings.public_base_url, tenant_id, on_sale)
                answer = await ours.place()
                (folder / "answer.json").write_bytes(answer)
                bare = ["-m", "benchmarks.bare", str(ports.mailbox), str(folder / "answer.json")]
                with _process(bare, settings, folder / "bare.log"):
                    bare_url = f"http://127.0.0.1:{ports.mailbox}"
                    await _ready(session, bare_url)
                    theirs = Orders(session, bare_url, tenant_id, on_sale)
                    order_id = str(orjson.loads(answer)["id"])
                    cases = [*theirs.cases("bare aiohttp", order_id), *ours.cases("gateway", order_id)]
                    for case in cases:
                        case.aws_calls = await _aws_calls(session, settings, case)
                    await _rounds(cases, rounds, seconds, clients)
    _tell(cases)


async def _aws_calls(session: aiohttp.ClientSession, settings: Settings, case: Case) -> float:
    """How many calls to AWS one request makes: what they cost is the emulator's speed, not the gateway's."""
    before = await _count(session, settings)
    for _ in range(CALLS_COUNTED_OVER):
        await case.send()
    return (await _count(session, settings) - before) / CALLS_COUNTED_OVER


async def _count(session: aiohttp.ClientSession, settings: Settings) -> int:
    async with session.get(f"{settings.aws_endpoint_url}/_bbws/calls?account={settings.aws_access_key_id}") as answer:
        services: dict[str, dict[str, int]] = orjson.loads(await _checked(answer, 200))
    return sum(sum(operations.values()) for operations in services.values())


async def _rounds(cases: Sequence[Case], rounds: int, seconds: float, clients: int) -> None:
    for case in cases:
        await Case(case.name, case.send).round(clients, seconds / 2)
    for number in range(1, rounds + 1):
        for case in cases:
            await case.round(clients, seconds)
        click.echo(f"round {number} of {rounds}: " + ", ".join(f"{case.per_second[-1]:.0f}/s" for case in cases))


def _tell(cases: Sequence[Case]) -> None:
    bare = {case.name.split(",")[0]: case for case in cases if case.name.endswith("bare aiohttp")}
    rows = []
    for case in sorted(cases, key=lambda case: case.name, reverse=True):
        against = bare[case.name.split(",")[0]]
        ratio = median(ours / theirs for ours, theirs in zip(case.per_second, against.per_second, strict=True))
        milliseconds = [duration * 1000 for duration in case.durations_s]
        rows.append(
            (
                case.name, f"{median(case.per_second):.0f}", f"{percentile(milliseconds, 50):.1f}",
                f"{percentile(milliseconds, 95):.1f}", f"{ratio:.3f}", f"{case.aws_calls:.1f}",
            )
        )  # fmt: skip
    click.echo("\n" + table(("request, server", "requests/s", "p50 ms", "p95 ms", "of bare", "AWS calls"), rows))


def _settings(ports: Ports) -> Settings:
    return Settings(
        aws_endpoint_url=f"http://127.0.0.1:{ports.emulator}",
        aws_access_key_id="000000000042",
        aws_secret_access_key="test",
        gateway_port=ports.gateway,
        public_base_url=f"http://127.0.0.1:{ports.gateway}",
        log_format="json",
    )


async def _provision(settings: Settings) -> str:
    """Tables and products are there; returns the id of one product."""
    async with aws_clients(settings) as clients:
        await Provisioner(clients, settings, Topology.for_settings(settings)).apply()
    async with bootstrap(settings) as services:
        await seed(services)
    return product_id(PRODUCTS[0])


@contextmanager
def _process(arguments: Sequence[str], settings: Settings, log: Path) -> Iterator[None]:
    """A Python process with these settings and no others; its output goes to a file, as no terminal is that fast."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BBWS_", "AWS_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=inherited | settings.as_environment(), stdout=output, stderr=output
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


async def _ready(session: aiohttp.ClientSession, url: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            async with session.get(url) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise click.ClickException(f"{url} was not ready within {READY_WITHIN_S:.0f} s")


async def _tenant(session: aiohttp.ClientSession, base_url: str) -> str:
    customer: Mapping[str, Any] = {"organizationName": "Protea Bakery", "email": "thandi@protea-bakery.example"}
    async with session.post(f"{base_url}/v1.0/registrations", json=customer) as answer:
        return str(orjson.loads(await _checked(answer, 201))["id"])


async def _checked(answer: aiohttp.ClientResponse, status: int) -> bytes:
    body = await answer.read()
    if answer.status != status:
        raise click.ClickException(f"{answer.method} {answer.url} answered {answer.status}: {body[:300]!r}")
    return body


@click.command(help=__doc__)
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=3.0, show_default=True, help="How long each case runs in each round.")
@click.option("--clients", default=16, show_default=True, type=click.IntRange(1), help="Requests in flight.")
@click.option("--quick", is_flag=True, help="Two rounds of half a second: shows that it runs.")
def main(rounds: int, seconds: float, clients: int, quick: bool) -> None:
    asyncio.run(measure(2 if quick else rounds, 0.5 if quick else seconds, clients))


if __name__ == "__main__":
    main()
