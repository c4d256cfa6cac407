"""Processes, forked from one that has imported what they need.

A fresh interpreter spends a second on imports; a fork is a process of its own all the same, with its own environment,
streams, signals and exit code.
"""

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from bbws.local.supervisor import BBWS, MAX_LINE_BYTES, Process

FORKS = multiprocessing.get_context("forkserver")
_COMMANDS = ("audit", "dead_letters", "payments", "specifications", "stand_ins", "system", "tenants", "users")
_PROCESSES = ("gateway.app", "consumers.app", "local.payfast", "local.mailbox")
# Of everybody who forks: a process has one such server, and whoever tells it last what to import tells it all.
_IMPORTED = (
    "bbws.cli.app",
    *(f"bbws.commands.{name}" for name in _COMMANDS),
    *(f"bbws.{name}" for name in _PROCESSES),
    "tests.shared.sqs.mortal",
    "tests.support.aws_models",
)
FORKS.set_forkserver_preload(list(_IMPORTED))


async def forked(command: Sequence[str], environment: Mapping[str, str]) -> Process:
    """`bbws` as a `System` starts it."""
    arguments = tuple(command[BBWS.index("bbws") + 1 :])
    given, input_end = FORKS.Pipe(duplex=False)
    output, logged = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_run, args=(arguments, dict(environment), given, logged))
    process.start()
    given.close()
    logged.close()
    return _Forked(process, await _reader(output), input_end)


class _Forked:
    def __init__(self, process: ForkServerProcess, stdout: asyncio.StreamReader, input_end: Connection) -> None:
        self.stdout = stdout
        self._process = process
        # The end of this pipe tells a child that its parent is gone, however it went.
        self._input_end = input_end
        self._ended = asyncio.create_task(self._until_end())

    @property
    def returncode(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def send_signal(self, signal: int) -> None:
        if not self._ended.done():
            assert self._process.pid is not None
            os.kill(self._process.pid, signal)

    async def _until_end(self) -> int:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, ended.set)
        await ended.wait()
        loop.remove_reader(self._process.sentinel)
        self._process.join()
        self._input_end.close()
        return self._process.exitcode or 0


async def _reader(output: Connection) -> asyncio.StreamReader:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    pipe = os.fdopen(os.dup(output.fileno()), "rb", buffering=0)
    output.close()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


def _run(arguments: Sequence[str], environment: Mapping[str, str], given: Connection, logged: Connection) -> None:
    os.setsid()
    for number, stream in enumerate((given, logged, logged)):
        os.dup2(stream.fileno(), number)
    given.close()
    logged.close()
    become_bbws(arguments, environment)


def become_bbws(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """This process, whose streams 0 to 2 are those wanted, is `bbws` with these arguments; ends with its SystemExit."""
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - they end with the process
    from bbws.cli.app import main

    sys.argv = ["bbws", *arguments]
    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
