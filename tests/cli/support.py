"""Commands that are run, and their answers."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner, Result

from bbws.cli.app import cli

NOBODY = "http://127.0.0.1:9"


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The only line of an error, and no traceback."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def invoke(*arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> Result:
    return CliRunner(env=environment).invoke(cli, arguments, input=given, prog_name="bbws")


def json_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
