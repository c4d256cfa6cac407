"""The embedded AWS: ministack on 127.0.0.1 behind our front, as a process of its own.

    python -m bbws.local.emulator --port 4566 --state-dir D --mail-dir M [--fresh]

State is read at the start and written at SIGTERM; after SIGKILL only S3 objects are left: for development and
tests, never for keeping data. The address is written to `D/endpoint` once it is bound.
"""

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import click

from bbws.local.emulator_expressions import read_once
from bbws.local.emulator_front import EmulatorFront
from bbws.local.mail_files import MailFiles

HOST = "127.0.0.1"
ENDPOINT_FILE = "endpoint"
# Idle connections of clients must not hold up the writing of the state.
GRACE_S = 0.5
KEEP_ALIVE_S = 75
# What BBWS uses, and nothing that runs code (lambda, ecs): whoever reaches the port may call all of it.
SERVICES = ("cognito-idp", "dynamodb", "events", "s3", "secretsmanager", "ses", "sns", "sqs", "sts")


@click.command()
@click.option("--port", type=int, default=4566, show_default=True, help="0 takes a free one.")
@click.option("--state-dir", type=click.Path(path_type=Path), required=True)
@click.option("--mail-dir", type=click.Path(path_type=Path), required=True)
@click.option("--fresh", is_flag=True, help="Delete what an earlier run left.")
@click.option("--stop-with-parent", is_flag=True, help="Stop when standard input ends.")
def main(port: int, state_dir: Path, mail_dir: Path, fresh: bool, stop_with_parent: bool) -> None:
    """Run the embedded AWS until SIGTERM."""
    if fresh:
        for directory in (state_dir, mail_dir):
            shutil.rmtree(directory, ignore_errors=True)
    for directory in (state_dir, mail_dir):
        directory.mkdir(parents=True, exist_ok=True)
    listener = _bind(port)
    _configure(listener.getsockname()[1], state_dir)
    asyncio.run(_serve(listener, state_dir, mail_dir, stop_with_parent=stop_with_parent))


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    return listener


def _configure(port: int, state_dir: Path) -> None:
    """Set what ministack reads from the environment when it is imported."""
    for name in ("AWS_ENDPOINT_URL", "AUTH", "USE_SSL", "SMTP_HOST"):
        os.environ.pop(name, None)
    os.environ.update(
        SERVICES=",".join(SERVICES),
        GATEWAY_PORT=str(port),
        MINISTACK_HOST=HOST,
        PERSIST_STATE="1",
        STATE_DIR=str(state_dir / "services"),
        S3_PERSIST="1",
        S3_DATA_DIR=str(state_dir / "s3"),
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        LOG_LEVEL="WARNING",
    )
    _raise_file_limit()


def _raise_file_limit() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _app(mail_dir: Path) -> Any:
    # Imported only now: it reads its settings from the environment at import.
    from ministack.app import app
    from ministack.services import dynamodb

    read_once(dynamodb)
    return EmulatorFront(app, MailFiles(mail_dir))


async def _serve(listener: socket.socket, state_dir: Path, mail_dir: Path, *, stop_with_parent: bool) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = GRACE_S
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.loglevel = "WARNING"
    stop = _stop_event(with_parent=stop_with_parent)
    app = _app(mail_dir)
    (state_dir / ENDPOINT_FILE).write_text(f"http://{HOST}:{listener.getsockname()[1]}")
    logging.getLogger("hypercorn.error").setLevel(logging.WARNING)
    await serve(app, config, shutdown_trigger=stop.wait)


def _stop_event(*, with_parent: bool) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if with_parent:
        # A thread, because a read of a pipe cannot be cancelled; a daemon, because it may never end.
        threading.Thread(target=_wait_for_parent, args=(loop, stop), daemon=True).start()
    return stop


def _wait_for_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    main()
