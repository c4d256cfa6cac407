"""`bbws up`: the whole system on this machine, as the processes that production runs.

The embedded AWS and the stand-ins start first and stop last. A process that dies is started again, as ECS would.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from bbws.consumers import CONSUMERS
from bbws.local.demo_data import seed
from bbws.local.demo_users import seed_users
from bbws.local.emulator_process import Emulator
from bbws.provision.provisioner import Provisioner
from bbws.shared.bootstrap import aws_clients, bootstrap, with_user_pool
from bbws.shared.integrations.cognito import UserPool
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology

HOST = "127.0.0.1"
STAND_INS = ("payfast", "mailbox")
ACCOUNT = "000000000042"
PASSPHRASE = "jt7NOE43FZPn"  # noqa: S105 - the published one of PayFast's sandbox, for the stand-in
# The embedded AWS checks the signatures of presigned links, with this key for every account.
SECRET_ACCESS_KEY = "test"  # noqa: S105
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 45.0
RESTART_AFTER_S = 0.5
LAST_LINES_WITHIN_S = 1.0
# A process that dies so soon after its start, so often, will not get better by being started again.
SHORT_LIFE_S = 5.0
MOST_SHORT_LIVES = 5
_LONGEST_LINE_BYTES = 4 * 1024 * 1024

OnLine = Callable[[str, Mapping[str, Any]], None]


class UpFailed(Exception):
    """The system cannot start, or cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Ports:
    gateway: int = 8080
    payfast: int = 8081
    mailbox: int = 8082
    emulator: int = 4566

    @classmethod
    def free(cls) -> Self:
        """Four ports that nobody uses at this moment."""
        sockets = [socket.socket() for _ in range(4)]
        for each in sockets:
            each.bind((HOST, 0))
        ports = [int(each.getsockname()[1]) for each in sockets]
        for each in sockets:
            each.close()
        return cls(*ports)

    def refuse_taken(self) -> None:
        """Raises UpFailed for a port that somebody else listens on."""
        for name in ("gateway", "payfast", "mailbox", "emulator"):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, getattr(self, name)))
                except OSError:
                    port = getattr(self, name)
                    raise UpFailed(f"port {port} is taken; choose another with --{name}-port") from None


@dataclass(slots=True)
class Child:
    """One process of the system, started again when it dies."""

    name: str
    arguments: Sequence[str]
    process: asyncio.subprocess.Process | None = None
    started_at: float = 0.0
    short_lives: int = 0
    starts: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class System:
    """Everything, from `async with` on until its end.

    `home` keeps the state between clean stops; `fresh` forgets it. `on_line` gets the name of a process and each
    structured line that it logs. `settings` are fields of `Settings` for all processes. The last two shorten waits
    in tests: for a dead consumer's messages, and for PayFast's next try.
    """

    def __init__(
        self,
        home: Path,
        *,
        fresh: bool = False,
        ports: Ports | None = None,
        on_line: OnLine | None = None,
        settings: Mapping[str, Any] | None = None,
        visibility_timeout_s: int | None = None,
        payfast_retry_base_s: float = 10,
    ) -> None:
        self.home = home
        self.ports = ports or Ports.free()
        self.mail_dir = home / "mail"
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_line: OnLine = on_line or (lambda _name, _line: None)
        self._visibility_timeout_s = visibility_timeout_s
        self._payfast_retry_base_s = payfast_retry_base_s
        self._extra = dict(settings or {})
        self._user_pool: UserPool | None = None
        self._emulator = Emulator(home / "aws", self.mail_dir, port=self.ports.emulator, fresh=fresh)
        self._children: dict[str, Child] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.ports.gateway}"

    @property
    def payfast_url(self) -> str:
        return f"http://{HOST}:{self.ports.payfast}"

    @property
    def mailbox_url(self) -> str:
        return f"http://{HOST}:{self.ports.mailbox}"

    @property
    def emulator_url(self) -> str:
        return f"http://{HOST}:{self.ports.emulator}"

    @property
    def settings(self) -> Settings:
        """What every process of the system is told; the user pool only once the system has started."""
        values: dict[str, Any] = {
            "aws_endpoint_url": self.emulator_url,
            "aws_access_key_id": ACCOUNT,
            "aws_secret_access_key": SECRET_ACCESS_KEY,
            "gateway_port": self.ports.gateway,
            "public_base_url": self.base_url,
            "payfast_url": self.payfast_url,
            "payfast_passphrase": PASSPHRASE,
            "payfast_source_ranges": (f"{HOST}/32",),
            "payfast_source_hosts": (),
            "receive_wait_s": 2,
            "log_format": "json",
        }
        settings = Settings(**values | self._extra)
        return with_user_pool(settings, self._user_pool) if self._user_pool else settings

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def kill(self, name: str) -> None:
        """SIGKILL, as a machine that goes away; the process is started again."""
        child = self._children[name]
        assert child.process is not None, f"{name} is not running"
        child.ready.clear()
        child.process.kill()
        await child.process.wait()

    async def until_ready(self, name: str) -> None:
        await self._within_reason(self._children[name].ready.wait(), name)

    async def _start(self) -> None:
        self.ports.refuse_taken()
        self.home.mkdir(parents=True, exist_ok=True)
        await self._emulator.start()
        await self._provision()
        retry = ("--retry-base-s", str(self._payfast_retry_base_s))
        payfast = ("stand-in", "payfast", "--port", str(self.ports.payfast), *retry)
        mailbox = ("stand-in", "mailbox", "--port", str(self.ports.mailbox), "--mail-dir", str(self.mail_dir))
        self._launch("payfast", payfast)
        self._launch("mailbox", mailbox)
        self._launch("gateway", ("gateway",))
        for name in CONSUMERS:
            self._launch(name, ("consumer", name))
        await asyncio.gather(
            self._within_reason(self._until_answers(f"{self.base_url}/readyz"), "gateway"),
            self._within_reason(self._until_answers(f"{self.mailbox_url}/"), "mailbox"),
            self._within_reason(self._until_answers(f"{self.payfast_url}/_standin/behaviour"), "payfast"),
            *(self.until_ready(name) for name in CONSUMERS),
        )

    async def _provision(self) -> None:
        settings = self.settings
        topology = Topology.for_settings(settings)
        if self._visibility_timeout_s:
            topology = topology.with_visibility_timeout(self._visibility_timeout_s)
        async with aws_clients(settings) as clients:
            self._user_pool = await Provisioner(clients, settings, topology).apply()
        async with bootstrap(self.settings) as services:
            await seed(services)
            if self._user_pool:
                await seed_users(services)

    def _launch(self, name: str, arguments: Sequence[str]) -> None:
        child = Child(name, arguments)
        self._children[name] = child
        self._watchers.append(asyncio.create_task(self._keep_running(child)))

    async def _keep_running(self, child: Child) -> None:
        environment = _inherited() | self.settings.as_environment()
        while not self._stopping:
            child.process = await _spawn(child, environment)
            reading = asyncio.create_task(self._read_lines(child, child.process))
            code = await child.process.wait()
            # What a dead process started may still hold its output open: only what is written by now is read.
            await asyncio.wait({reading}, timeout=LAST_LINES_WITHIN_S)
            reading.cancel()
            if self._stopping:
                return
            child.ready.clear()
            self._on_line(child.name, {"level": "error", "event": f"process ended with {code}, starting it again"})
            child.short_lives = child.short_lives + 1 if time.monotonic() - child.started_at < SHORT_LIFE_S else 0
            if child.short_lives >= MOST_SHORT_LIVES:
                self._fail(f"{child.name} ended {child.short_lives} times right after its start")
                return
            await asyncio.sleep(RESTART_AFTER_S)

    async def _read_lines(self, child: Child, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = _parsed(raw)
            if line.get("event") == "consumer ready":
                child.ready.set()
            self._on_line(child.name, line)

    def _fail(self, reason: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(UpFailed(reason))

    async def _within_reason(self, waiting: Awaitable[Any], name: str) -> None:
        """Raises UpFailed when it takes too long, or when a process gave up meanwhile."""
        task = asyncio.ensure_future(waiting)
        done, _ = await asyncio.wait({task, self.failed}, timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            task.result()
            return
        task.cancel()
        if self.failed.done():
            self.failed.result()
        raise UpFailed(f"{name} was not ready within {READY_WITHIN_S:.0f} s")

    async def _until_answers(self, url: str) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                if await _answers(session, url):
                    return
                await asyncio.sleep(0.1)

    async def _stop(self) -> None:
        """Ours first: what the gateway still has in hand needs PayFast, and all of them need AWS."""
        self._stopping = True
        outside = [child for child in self._children.values() if child.name in STAND_INS]
        ours = [child for child in self._children.values() if child.name not in STAND_INS]
        for group in (ours, outside):
            await asyncio.gather(*(_end(child.process) for child in group if child.process))
        for task in self._watchers:
            task.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await self._emulator.stop()
        self.failed.cancel()


async def _spawn(child: Child, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    child.started_at = time.monotonic()
    child.starts += 1
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bbws", "--stop-with-parent", *child.arguments,
        env=environment,
        # The end of this pipe tells a child that its parent is gone, however it went.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LONGEST_LINE_BYTES,
        # Ctrl-C is for the parent, which stops the children in order.
        start_new_session=True,
    )  # fmt: skip


def _inherited() -> dict[str, str]:
    """The environment without settings of ours or AWS's: the system must not touch anybody's real account."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("BBWS_", "AWS_"))}


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        line = None
    return line if isinstance(line, dict) else {"event": raw.decode(errors="replace").rstrip()}


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
