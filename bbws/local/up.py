"""`bbws up`: the whole system on this machine, as the processes that production runs.

The embedded AWS and the stand-ins start first and stop last.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from bbws.consumers import CONSUMERS
from bbws.local.demo_data import seed
from bbws.local.demo_users import seed_users
from bbws.local.emulator_process import Emulator
from bbws.local.ports import HOST, Ports
from bbws.local.supervisor import OnLine, Spawn, Supervisor, spawned
from bbws.provision.provisioner import Provisioner
from bbws.shared.bootstrap import aws_clients, bootstrap, with_user_pool
from bbws.shared.integrations.cognito import UserPool
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology

STAND_INS = ("payfast", "mailbox")
ACCOUNT = "000000000042"
PASSPHRASE = "jt7NOE43FZPn"  # noqa: S105 - the published one of PayFast's sandbox, for the stand-in
# The embedded AWS checks the signatures of presigned links, with this key for every account.
SECRET_ACCESS_KEY = "test"  # noqa: S105


class System:
    """Everything, from `async with` on until its end.

    `home` keeps the state between clean stops; `fresh` forgets it. `on_line` gets the name of a process and each
    structured line that it logs. `settings` are fields of `Settings` for all processes. The last three shorten
    waits in tests: for a dead consumer's messages, for PayFast's next try, and for a process to start.
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
        spawn: Spawn = spawned,
    ) -> None:
        self.home = home
        self.ports = ports or Ports.free()
        self.mail_dir = home / "mail"
        self._supervisor = Supervisor(on_line or (lambda _name, _line: None), spawn=spawn)
        self._visibility_timeout_s = visibility_timeout_s
        self._payfast_retry_base_s = payfast_retry_base_s
        self._extra = dict(settings or {})
        self._user_pool: UserPool | None = None
        self._emulator = Emulator(home / "aws", self.mail_dir, port=self.ports.emulator, fresh=fresh)

    @property
    def base_url(self) -> str:
        return self.ports.url("gateway")

    @property
    def payfast_url(self) -> str:
        return self.ports.url("payfast")

    @property
    def mailbox_url(self) -> str:
        return self.ports.url("mailbox")

    @property
    def emulator_url(self) -> str:
        return self.ports.url("emulator")

    @property
    def failed(self) -> asyncio.Future[None]:
        """Holds an UpFailed once a process is given up."""
        return self._supervisor.failed

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
        await self._supervisor.kill(name)

    async def until_ready(self, name: str) -> None:
        """A consumer reads its queues. Raises UpFailed when that takes too long."""
        await self._supervisor.until_ready(name)

    async def _start(self) -> None:
        self.ports.refuse_taken()
        self.home.mkdir(parents=True, exist_ok=True)
        await self._emulator.start()
        await self._provision()
        environment = _inherited() | self.settings.as_environment()
        for name, arguments in self._processes().items():
            self._supervisor.launch(name, arguments, environment)
        await asyncio.gather(
            self._until_answers("gateway", f"{self.base_url}/readyz"),
            self._until_answers("mailbox", f"{self.mailbox_url}/"),
            self._until_answers("payfast", f"{self.payfast_url}/_standin/behaviour"),
            *(self.until_ready(name) for name in CONSUMERS),
        )

    def _processes(self) -> dict[str, tuple[str, ...]]:
        """Arguments of `bbws` for each."""
        retry = ("--retry-base-s", str(self._payfast_retry_base_s))
        mails = ("--mail-dir", str(self.mail_dir))
        return {
            "payfast": ("stand-in", "payfast", "--port", str(self.ports.payfast), *retry),
            "mailbox": ("stand-in", "mailbox", "--port", str(self.ports.mailbox), *mails),
            "gateway": ("gateway",),
            **{name: ("consumer", name) for name in CONSUMERS},
        }

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

    async def _until_answers(self, name: str, url: str) -> None:
        await self._supervisor.within_reason(_answered(url), name)

    async def _stop(self) -> None:
        """Ours first: what the gateway still has in hand needs PayFast, and all of them need AWS."""
        await self._supervisor.stop(last=STAND_INS)
        await self._emulator.stop()


def _inherited() -> dict[str, str]:
    """The environment without settings of ours or AWS's: the system must not touch anybody's real account."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("BBWS_", "AWS_"))}


async def _answered(url: str) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            if await _answers(session, url):
                return
            await asyncio.sleep(0.1)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
