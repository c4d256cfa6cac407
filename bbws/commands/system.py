"""What the commands of `bbws` do; `cli.py` only reads their arguments."""

import asyncio
import hashlib
import json
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from botocore.exceptions import BotoCoreError, ClientError
from faststream.specification import AsyncAPI
from prometheus_client import CollectorRegistry

from bbws import __version__
from bbws.commands.console_lines import ConsoleLines, printable
from bbws.consumers import CONSUMERS
from bbws.consumers.app import build
from bbws.gateway.hosts import host_names
from bbws.local import mailbox
from bbws.local import payfast as payfast_stand_in
from bbws.local.demo import DemoFailed, sell
from bbws.local.demo_data import seed
from bbws.local.demo_users import PASSWORD, USERS
from bbws.local.emulator_process import EmulatorFailed
from bbws.local.up import ACCOUNT, SECRET_ACCESS_KEY, Ports, System, UpFailed
from bbws.provision.provisioner import Provisioner
from bbws.shared.bootstrap import aws_clients, bootstrap
from bbws.shared.integrations.payfast import ItnUnreadable, parse_itn, verify_itn_signature
from bbws.shared.operating.dead_letter_audit import audited
from bbws.shared.operating.dead_letters import DeadLetter, DeadLetters, Wanted
from bbws.shared.settings import Settings, secret
from bbws.shared.topology import Topology

# Errors whose text tells a person what to do.
TOLD = (UpFailed, DemoFailed, EmulatorFailed, BotoCoreError, ClientError, aiohttp.ClientError, OSError)

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


async def put_demo_data(settings: Settings) -> None:
    async with bootstrap(settings) as services:
        await seed(services)


async def list_dead_letters(settings: Settings, *, as_json: bool) -> str:
    async with _dead_letters(settings) as dead_letters:
        summaries = await dead_letters.summaries()
    if as_json:
        return json.dumps(
            [
                {
                    "queue": s.queue,
                    "depth": s.depth,
                    "oldest": s.oldest.isoformat() if s.oldest else None,
                    "byReason": [{"reason": r, "contract": c, "count": n} for (r, c), n in s.by_reason],
                }
                for s in summaries
            ],
            indent=2,
        )
    lines, width = [], max(len(summary.queue) for summary in summaries)
    for summary in summaries:
        oldest = f", oldest from {summary.oldest:%Y-%m-%d %H:%M} UTC" if summary.oldest else ""
        lines.append(f"{summary.queue:<{width}} {summary.depth:>5}{oldest}")
        lines += [
            f"{'':<{width}} {count:>5}  {printable(f'{contract}: {reason}')}"
            for (reason, contract), count in summary.by_reason
        ]
    return "\n".join(lines)


async def show_dead_letters(
    settings: Settings, queue: str, message_id: str | None, reason: str | None
) -> list[dict[str, Any]]:
    async with _dead_letters(settings) as dead_letters:
        return [letter.told() for letter in await dead_letters.find(queue, _wanted(message_id, reason))]


async def redrive_dead_letters(
    settings: Settings, actor: str, queue: str, message_id: str | None, reason: str | None, *, per_second: float | None
) -> int:
    asked = {"messageId": message_id, "reason": reason}
    async with _audited(settings, actor, "REDRIVE", queue, asked) as dead_letters:
        return await dead_letters.redrive(queue, _wanted(message_id, reason), per_second=per_second)


async def edit_dead_letter(settings: Settings, actor: str, queue: str, message_id: str, content: bytes) -> str:
    asked = {"messageId": message_id, "payloadSha256": hashlib.sha256(content).hexdigest()}
    async with _audited(settings, actor, "EDIT", queue, asked) as dead_letters:
        return await dead_letters.edit(queue, message_id, content)


async def archive_dead_letters(
    settings: Settings, actor: str, queue: str, message_id: str | None, reason: str | None, *, file: Path | None
) -> int:
    """Into `file`, behind what is there; without one into the bucket of documents."""
    async with aws_clients(settings) as clients:
        topology = Topology.for_settings(settings)

        async def into_bucket(lines: bytes) -> str:
            bucket, key = (
                topology.bucket("documents").name,
                f"dead-letters/{queue}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}",
            )
            s3 = await clients.get("s3")
            await s3.put_object(Bucket=bucket, Key=f"{key}.jsonl", Body=lines, ContentType="application/jsonl")
            return f"s3://{bucket}/{key}.jsonl"

        async def into_file(lines: bytes) -> str:
            assert file is not None
            with file.open("ab") as archive:
                archive.write(lines)
            return str(file)

        store = into_bucket if file is None else into_file
        asked = {"messageId": message_id, "reason": reason, "file": str(file) if file else None}
        async with _audited(settings, actor, "ARCHIVE", queue, asked) as dead_letters:
            return await dead_letters.archive(queue, _wanted(message_id, reason), store)


async def drop_dead_letters(
    settings: Settings, actor: str, queue: str, message_id: str | None, reason: str | None
) -> int:
    asked = {"messageId": message_id, "reason": reason}
    async with _audited(settings, actor, "DROP", queue, asked) as dead_letters:
        return await dead_letters.drop(queue, _wanted(message_id, reason))


def verify_itn(raw_body: bytes, passphrase: str | None) -> tuple[bool, list[str]]:
    """Whether the signature holds, and what to print: the verdict, then every field in its order."""
    body = raw_body.strip(b"\r\n")
    holds = verify_itn_signature(body, passphrase)
    verdict = "the signature holds" if holds else "the signature does NOT hold"
    hint = [] if holds or passphrase else ["no passphrase was given: --passphrase, where the account has one"]
    try:
        fields = parse_itn(body).fields
    except ItnUnreadable as error:
        return False, [verdict, *hint, error.detail]
    return holds, [verdict, *hint, *(f"{name} = {value}" for name, value in fields)]


def asyncapi_document(settings: Settings) -> str:
    """One document: every consumer's channels and messages."""
    brokers = [build(entry.register, settings, registry=CollectorRegistry()).broker for entry in CONSUMERS.values()]
    document = AsyncAPI(*brokers, title="BBWS", version=__version__, schema_version="3.0.0").to_specification()
    return orjson.dumps(document.to_jsonable(), option=orjson.OPT_INDENT_2).decode()


def serve_payfast(settings: Settings, host: str, port: int, retry_base_s: float) -> None:
    account = payfast_stand_in.PayfastAccount(
        merchant_id=settings.payfast_merchant_id,
        merchant_key=settings.payfast_merchant_key.get_secret_value(),
        passphrase=secret(settings.payfast_passphrase),
        retry_base_s=retry_base_s,
    )
    own_names = host_names(settings.payfast_url, settings.payfast_server_url) | {host}
    web.run_app(payfast_stand_in.create_app(account, own_names), host=host, port=port, access_log=None, print=None)


def serve_mailbox(host: str, port: int, mail_dir: Path) -> None:
    web.run_app(mailbox.create_app(mail_dir, {host}), host=host, port=port, access_log=None, print=None)


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


@asynccontextmanager
async def _dead_letters(settings: Settings) -> AsyncIterator[DeadLetters]:
    async with aws_clients(settings) as clients:
        yield DeadLetters(await clients.get("sqs"), Topology.for_settings(settings))


@asynccontextmanager
async def _audited(
    settings: Settings, actor: str, deed: str, queue: str, asked: Mapping[str, str | None]
) -> AsyncIterator[DeadLetters]:
    async with (
        bootstrap(settings) as services,
        _dead_letters(settings) as dead_letters,
        audited(services.audits, dead_letters, deed, queue, actor=actor, asked=asked),
    ):
        yield dead_letters


def _wanted(message_id: str | None, reason: str | None) -> Wanted:
    def wanted(letter: DeadLetter) -> bool:
        return message_id in (None, letter.id) and (reason is None or reason.lower() in letter.reason.lower())

    return wanted
