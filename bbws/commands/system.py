"""What the commands that run and provision the system do."""

import asyncio
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from bbws.commands.console_lines import ConsoleLines
from bbws.local.demo import sell
from bbws.local.demo_users import PASSWORD, USERS
from bbws.local.errors import UpFailed
from bbws.local.ports import Ports
from bbws.local.up import ACCOUNT, SECRET_ACCESS_KEY, System
from bbws.provision.provisioner import Provisioner
from bbws.shared.bootstrap import aws_clients
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology

# Says that a folder is the demo's, which empties it.
DEMO_MARK = ".bbws-demo"

Say = Callable[[str], None]


async def run_up(home: Path, ports: Ports, *, fresh: bool, say: Say) -> None:
    """Runs until SIGINT or SIGTERM. Raises UpFailed when a process gives up."""
    stopped = _stop_signal()
    async with System(home, fresh=fresh, ports=ports, on_line=ConsoleLines()) as system:
        say(_addresses(system))
        await asyncio.wait({stopped, system.failed}, return_when=asyncio.FIRST_COMPLETED)
        if system.failed.done():
            system.failed.result()
        say("stopping; state is kept")
    say("stopped")


async def run_demo(home: Path, *, verbose: bool, say: Say) -> None:
    """Raises DemoFailed when something did not arrive."""
    _empty(home)
    lines = ConsoleLines() if verbose else None
    say("starting        embedded AWS, PayFast stand-in, mailbox, gateway, consumers")
    async with System(home, fresh=True, on_line=lines) as system:
        await sell(system, say)


async def run_provision(settings: Settings, *, check: bool) -> list[str]:
    async with aws_clients(settings) as clients:
        provisioner = Provisioner(clients, settings, Topology.for_settings(settings))
        if not check:
            await provisioner.apply()
        return await provisioner.differences()


def _addresses(system: System) -> str:
    rows = {
        "storefront": system.base_url,
        "API": f"{system.base_url}/v1.0",
        "API docs": f"{system.base_url}/docs",
        "PayFast stand-in": system.payfast_url,
        "mailbox": system.mailbox_url,
        "emulator": system.emulator_url,
    }
    addresses = [f"  {name:<18}{url}" for name, url in rows.items()]
    credentials = f"AWS_ACCESS_KEY_ID={ACCOUNT} AWS_SECRET_ACCESS_KEY={SECRET_ACCESS_KEY}"
    environment = f"AWS_ENDPOINT_URL={system.emulator_url} {credentials}"
    tools = f"  other commands    {environment} bbws dlq list"
    return "\n".join(["", *addresses, "", tools, *_how_to_log_in(environment), "", "  Ctrl-C stops it.", ""])


def _how_to_log_in(environment: str) -> list[str]:
    return [
        f"  token for curl    {environment} bbws token --role operator",
        "",
        *(f"  {role:<18}{user.email}" for role, user in USERS.items()),
        f"  {'their password':<18}{PASSWORD}",
    ]


def _empty(home: Path) -> None:
    """The folder is there, with nothing in it but our mark. Raises UpFailed for one that somebody else filled."""
    mark = home / DEMO_MARK
    if home.exists() and any(home.iterdir()) and not mark.exists():
        raise UpFailed(f"{home} holds files that are not the demo's; choose another folder with --home")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    mark.touch()


def _stop_signal() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _resolve, stopped)
    return stopped


def _resolve(stopped: asyncio.Future[None]) -> None:
    if not stopped.done():
        stopped.set_result(None)
