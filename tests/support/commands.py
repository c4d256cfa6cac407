"""`bbws` commands as processes of their own, forked from one that has imported what they need.

A fresh interpreter spends a second on imports; a fork has a process's own environment, streams and exit code all the
same.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.emulator import Aws

DEADLINE_S = 60

_FORKS = multiprocessing.get_context("forkserver")
_COMMANDS = ("audit", "dead_letters", "payments", "specifications", "stand_ins", "system", "tenants", "users")
_FORKS.set_forkserver_preload(["bbws.cli.app", *(f"bbws.commands.{name}" for name in _COMMANDS)])


def bbws(
    *arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What the command answered; no setting is set but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BBWS_", "AWS_"))}
    account = {"AWS_ACCESS_KEY_ID": "1", "AWS_SECRET_ACCESS_KEY": "1"}
    with TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("in", "out", "err")]
        streams[0].write_bytes(given)
        task = (arguments, {**kept, **account, **(environment or {})}, [str(path) for path in streams])
        process = _FORKS.Process(target=_command, args=task)
        process.start()
        process.join(DEADLINE_S)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"bbws {' '.join(arguments)} did not end within {DEADLINE_S} s")
        _, out, err = (path.read_text() if path.exists() else "" for path in streams)
        return subprocess.CompletedProcess(["bbws", *arguments], process.exitcode or 0, out, err)


def account_of(aws: Aws) -> dict[str, str]:
    """The environment of somebody who works on the test's account."""
    return {
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_ACCESS_KEY_ID": aws.access_key_id,
        "AWS_SECRET_ACCESS_KEY": aws.secret_access_key,
        "AWS_REGION": aws.region,
        "BBWS_BUCKET_SUFFIX": f"-{aws.access_key_id}",
        "BBWS_RECEIVE_WAIT_S": "0",
    }


def _command(arguments: tuple[str, ...], environment: Mapping[str, str], streams: list[str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - they end with the process
    from bbws.cli.app import main

    sys.argv = ["bbws", *arguments]
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
