"""`bbws` commands as processes of their own (`forks.py`)."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.emulator import Aws
from tests.support.forks import FORKS, become_bbws

DEADLINE_S = 60


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
        process = FORKS.Process(target=_command, args=task)
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
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    become_bbws(arguments, environment)
