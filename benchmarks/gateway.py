"""Requests per second of the gateway for orders, and their CPU, beside itself without tokens and two bare servers.

One makes the same calls to AWS through aiobotocore (`plain.py`), the other none (`bare.py`). All servers, emulator and
client are processes of one machine. Each round measures all cases in turn, so that whatever else the machine does falls
on all of them; medians over the rounds are compared. CPU is what the kernel counts for the serving process, divided by
its requests.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import aiohttp
import click
import orjson
from aiohttp.test_utils import make_mocked_request

from bbws.gateway.auth import Authorizer
from bbws.gateway.permissions import Role
from bbws.gateway.routes import ROUTES
from bbws.local.demo import ADDRESS
from bbws.local.demo_data import PRODUCTS, product_id, seed
from bbws.local.emulator_process import Emulator
from bbws.local.ports import Ports
from bbws.provision.provisioner import Provisioner
from bbws.shared.bootstrap import aws_clients, bootstrap
from bbws.shared.clock import utc_now
from bbws.shared.contracts.tenancy.tenants import Registration
from bbws.shared.ids import new_id
from bbws.shared.integrations.tokens import Jwks, TokenVerifier
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from benchmarks.figures import percentile, table

READY_WITHIN_S = 30.0
CALLS_COUNTED_OVER = 20
LISTED = 20
CHECKS = 2000
GUARDED, OPEN, PLAIN, BARE = "gateway", "gateway without tokens", "aiohttp with aiobotocore", "bare aiohttp"

Request = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Case:
    """One kind of request to one server, and what each round measured of it."""

    name: str
    send: Request
    server_pid: int
    per_second: list[float] = field(default_factory=list)
    durations_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    aws_calls: float = 0.0

    async def round(self, clients: int, seconds: float) -> None:
        """`clients` send one request after the other for so long."""
        start, cpu_s = time.perf_counter(), _cpu_s(self.server_pid)
        counts = await asyncio.gather(*(self._client(start + seconds) for _ in range(clients)))
        self.per_second.append(sum(counts) / (time.perf_counter() - start))
        self.cpu_us.append((_cpu_s(self.server_pid) - cpu_s) / sum(counts) * 1e6)

    async def _client(self, until: float) -> int:
        count = 0
        while (before := time.perf_counter()) < until:
            await self.send()
            self.durations_s.append(time.perf_counter() - before)
            count += 1
        return count


def _cpu_s(pid: int) -> float:
    """The CPU time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """One of the servers that are compared; without `token` none is sent."""

    name: str
    base_url: str
    pid: int
    token: str | None = None


class Orders:
    """Orders of one tenant at one server."""

    def __init__(self, session: aiohttp.ClientSession, server: Server, tenant_id: str, product_id: str) -> None:
        self._session = session
        self._server = server
        self._url = f"{server.base_url}/v1.0/tenants/{tenant_id}/orders"
        self._headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
        lines = [{"productId": product_id, "quantity": 1}]
        self._body = orjson.dumps(
            {"items": lines, "billingAddress": ADDRESS, "customerEmail": "thandi@protea-bakery.example"}
        )

    async def place(self) -> bytes:
        headers = {**self._headers, "Content-Type": "application/json", "Idempotency-Key": f'"{new_id()}"'}
        async with self._session.post(self._url, data=self._body, headers=headers) as answer:
            return await _checked(answer, 201)

    async def get(self, rest: str) -> None:
        async with self._session.get(self._url + rest, headers=self._headers) as answer:
            await _checked(answer, 200)

    def cases(self, order_id: str) -> Iterator[Case]:
        async def place() -> None:
            await self.place()

        server = self._server
        yield Case(f"POST orders, {server.name}", place, server.pid)
        yield Case(f"GET order, {server.name}", lambda: self.get(f"/{order_id}"), server.pid)
        yield Case(f"GET orders, {server.name}", lambda: self.get(f"?limit={LISTED}"), server.pid)


async def measure(rounds: int, seconds: float, clients: int, *, on_emulator: bool) -> None:
    ports, more = Ports.free(), Ports.free()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        async with (
            Emulator(folder / "aws", folder / "mail", port=ports.emulator),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            AsyncExitStack() as stack,
        ):
            settings, token = await _with_pool(_settings(ports))
            on_sale, tenant_id = await _provision(settings)
            # The emulator has a process; with the replay in front of it the servers wait for nothing.
            launch = Launch(stack, session, settings, folder)
            if not on_emulator:
                launch = await launch.behind_replay(more.emulator)
            guarded = await launch.server(GUARDED, ports.gateway, "bbws", "gateway", token=token)
            answers = [await Orders(session, guarded, tenant_id, on_sale).place() for _ in range(LISTED)]
            if not on_emulator:
                async with session.put(f"{launch.settings.aws_endpoint_url}/_bbws/replay") as begun:
                    await _checked(begun, 200)
            answer = folder / "answer.json"
            answer.write_bytes(answers[0])
            servers = [
                guarded,
                await launch.server(OPEN, ports.payfast, "benchmarks.unguarded"),
                await launch.server(PLAIN, more.gateway, "benchmarks.plain", str(more.gateway), str(answer)),
                await launch.server(BARE, ports.mailbox, "benchmarks.bare", str(ports.mailbox), str(answer)),
            ]
            orders = [Orders(session, server, tenant_id, on_sale) for server in servers]
            order_id = str(orjson.loads(answers[0])["id"])
            cases = [case for each in orders for case in each.cases(order_id)]
            for case in cases:
                case.aws_calls = await _aws_calls(session, launch.settings, case)
            await _rounds(cases, rounds, seconds, clients)
            check = await _check(settings, token)
    _tell(cases)
    _tell_check(cases, *check)


@dataclass(frozen=True, slots=True)
class Launch:
    """Starts servers, each as a process of its own."""

    stack: AsyncExitStack
    session: aiohttp.ClientSession
    settings: Settings
    folder: Path

    async def behind_replay(self, port: int) -> "Launch":
        """For servers whose AWS is a replay of this one's."""
        url = self.settings.aws_endpoint_url or ""
        await self.server("replay", port, "benchmarks.aws_replay", str(port), url, ready="/_bbws/calls")
        settings = self.settings.model_copy(update={"aws_endpoint_url": f"http://127.0.0.1:{port}"})
        return replace(self, settings=settings)

    async def server(
        self, name: str, port: int, module: str, *arguments: str, token: str | None = None, ready: str = "/readyz"
    ) -> Server:
        """It is up."""
        own = self.settings.model_copy(update={"gateway_port": port})
        command = ["-m", module, *arguments]
        process = self.stack.enter_context(_process(command, own, self.folder / f"{port}.log"))
        server = Server(name, f"http://127.0.0.1:{port}", process.pid, token)
        if not await _is_ready(self.session, f"{server.base_url}{ready}"):
            log = (self.folder / f"{port}.log").read_text()
            raise click.ClickException(f"{name} was not ready within {READY_WITHIN_S:.0f} s:\n{log[-2000:]}")
        return server


async def _check(settings: Settings, token: str) -> tuple[float, float]:
    """Microseconds of CPU for recognising a caller: with a token that is new, and with one that is known."""
    request = make_mocked_request("GET", "/", {"Authorization": f"Bearer {token}"}, match_info={"tenantId": new_id()})
    route = next(route for route in ROUTES if route.operation_id == "order-get")
    url = settings.cognito_jwks_url or ""
    async with Jwks(url, utc_now) as jwks, bootstrap(settings) as services:

        def authorizer() -> Authorizer:
            tokens = TokenVerifier(jwks, settings.cognito_issuer, settings.cognito_client_ids, utc_now)
            return Authorizer(tokens, services.users.role_in, services.operations.get, lambda *_: False)

        known = authorizer()
        await known.authorize(request, route)
        first = await _cpu_us(authorizer().authorize(request, route) for _ in range(CHECKS))
        return first, await _cpu_us(known.authorize(request, route) for _ in range(CHECKS))


async def _cpu_us(calls: Iterable[Awaitable[object]]) -> float:
    started, count = time.process_time(), 0
    for call in calls:
        await call
        count += 1
    return (time.process_time() - started) / count * 1e6


async def _aws_calls(session: aiohttp.ClientSession, settings: Settings, case: Case) -> float:
    """How many calls to AWS one request makes: what they cost is the emulator's speed, not the gateway's."""
    before = await _count(session, settings)
    for _ in range(CALLS_COUNTED_OVER):
        await case.send()
    return (await _count(session, settings) - before) / CALLS_COUNTED_OVER


async def _count(session: aiohttp.ClientSession, settings: Settings) -> int:
    async with session.get(f"{settings.aws_endpoint_url}/_bbws/calls?account={settings.aws_access_key_id}") as answer:
        counted: dict[str, dict[str, int]] | int = orjson.loads(await _checked(answer, 200))
    if isinstance(counted, int):
        return counted
    return sum(sum(operations.values()) for operations in counted.values())


async def _rounds(cases: Sequence[Case], rounds: int, seconds: float, clients: int) -> None:
    for case in cases:
        await replace(case, per_second=[], durations_s=[], cpu_us=[]).round(clients, seconds / 2)
    for number in range(1, rounds + 1):
        for case in cases:
            await case.round(clients, seconds)
        click.echo(f"round {number} of {rounds}: " + ", ".join(f"{case.per_second[-1]:.0f}/s" for case in cases))


def _tell(cases: Sequence[Case]) -> None:
    by_name = {case.name: case for case in cases}
    rows = []
    for case in sorted(cases, key=lambda case: case.name, reverse=True):
        what = case.name.split(",")[0]
        bare, plain = by_name[f"{what}, {BARE}"], by_name[f"{what}, {PLAIN}"]
        milliseconds = [duration * 1000 for duration in case.durations_s]
        rows.append(
            (
                case.name, f"{median(case.per_second):.0f}", f"{percentile(milliseconds, 50):.1f}",
                f"{percentile(milliseconds, 95):.1f}", f"{_ratio(case.per_second, bare.per_second):.3f}",
                f"{median(case.cpu_us):.0f}", f"{_ratio(case.cpu_us, plain.cpu_us):.2f}", f"{case.aws_calls:.1f}",
            )
        )  # fmt: skip
    heads = ("request, server", "requests/s", "p50 ms", "p95 ms", "of bare", "CPU µs", "of plain", "AWS calls")
    click.echo("\n" + table(heads, rows))


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return median(one / other for one, other in zip(ours, theirs, strict=True))


def _tell_check(cases: Sequence[Case], first_us: float, known_us: float) -> None:
    by_name = {case.name: case for case in cases}
    click.echo(f"\nRecognising the caller: {first_us:.0f} µs of CPU with a new token, {known_us:.1f} µs afterwards.")
    for what in ("GET order", "GET orders"):
        guarded, unguarded = by_name[f"{what}, {GUARDED}"], by_name[f"{what}, {OPEN}"]
        ratio = _ratio(guarded.per_second, unguarded.per_second)
        share = known_us / median(guarded.cpu_us)
        click.echo(
            f"{what}: {ratio:.3f} of the requests/s without tokens; the check is {share:.1%} of a request's CPU."
        )


def _settings(ports: Ports) -> Settings:
    return Settings(
        aws_endpoint_url=f"http://127.0.0.1:{ports.emulator}",
        aws_access_key_id="000000000042",
        aws_secret_access_key="test",
        gateway_port=ports.gateway,
        public_base_url=f"http://127.0.0.1:{ports.gateway}",
        log_format="json",
    )


async def _with_pool(settings: Settings) -> tuple[Settings, str]:
    """The settings with a user pool of the emulator, and an operator's access token."""
    user, password, group = "operator@bbws.example", "Correct-Horse-9", Role.OPERATOR.value
    async with aws_clients(settings) as clients:
        cognito = await clients.get("cognito-idp")
        pool = (await cognito.create_user_pool(PoolName="benchmark"))["UserPool"]["Id"]
        app = await cognito.create_user_pool_client(
            UserPoolId=pool, ClientName="benchmark", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
        )
        client = app["UserPoolClient"]["ClientId"]
        await cognito.create_group(UserPoolId=pool, GroupName=group)
        await cognito.admin_create_user(UserPoolId=pool, Username=user, MessageAction="SUPPRESS")
        await cognito.admin_set_user_password(UserPoolId=pool, Username=user, Password=password, Permanent=True)
        await cognito.admin_add_user_to_group(UserPoolId=pool, Username=user, GroupName=group)
        answer = await cognito.admin_initiate_auth(
            UserPoolId=pool, ClientId=client, AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": user, "PASSWORD": password},
        )  # fmt: skip
    given = {
        "cognito_user_pool_id": pool,
        "cognito_client_ids": (client,),
        "cognito_jwks_url": f"{settings.aws_endpoint_url}/{pool}/.well-known/jwks.json",
    }
    return settings.model_copy(update=given), str(answer["AuthenticationResult"]["AccessToken"])


async def _provision(settings: Settings) -> tuple[str, str]:
    """Tables and products are there; returns the ids of one product and of a tenant."""
    async with aws_clients(settings) as clients:
        await Provisioner(clients, settings, Topology.for_settings(settings)).apply()
    async with bootstrap(settings) as services:
        await seed(services)
        customer = Registration(email="thandi@protea-bakery.example", organization_name="Protea Bakery")
        tenant = await services.registrations.for_customer(customer)
    return product_id(PRODUCTS[0]), tenant.id


@contextmanager
def _process(arguments: Sequence[str], settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process with these settings and no others; its output goes to a file, as no terminal is that fast."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BBWS_", "AWS_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=inherited | settings.as_environment(), stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            async with session.get(url) as answer:
                if answer.status == 200:
                    return True
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    return False


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
@click.option("--on-emulator", is_flag=True, help="AWS is the emulator itself, without the replay in front of it.")
def main(rounds: int, seconds: float, clients: int, quick: bool, on_emulator: bool) -> None:
    rounds, seconds = (2, 0.5) if quick else (rounds, seconds)
    asyncio.run(measure(rounds, seconds, clients, on_emulator=on_emulator))


if __name__ == "__main__":
    main()
