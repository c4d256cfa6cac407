"""Processes that are started again when they die, as ECS would, until they die too often."""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from bbws.local.errors import UpFailed

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 45.0
RESTART_AFTER_S = 0.5
LAST_LINES_WITHIN_S = 1.0
# A process that dies so soon after its start, so often, will not get better by being started again.
SHORT_LIFE_S = 5.0
MAX_SHORT_LIVES = 5
MAX_LINE_BYTES = 4 * 1024 * 1024
BBWS = (sys.executable, "-m", "bbws", "--stop-with-parent")

OnLine = Callable[[str, Mapping[str, Any]], None]


class Process(Protocol):
    """A process that runs, or ran: what is used of asyncio's."""

    @property
    def stdout(self) -> asyncio.StreamReader | None: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...
    def send_signal(self, signal: int) -> None: ...


# A command and its whole environment.
Spawn = Callable[[Sequence[str], Mapping[str, str]], Awaitable[Process]]


async def spawned(command: Sequence[str], environment: Mapping[str, str]) -> Process:
    return await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        # The end of this pipe tells a child that its parent is gone, however it went.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=MAX_LINE_BYTES,
        # Ctrl-C is for the parent, which stops the children in order.
        start_new_session=True,
    )


@dataclass(slots=True)
class _Child:
    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    process: Process | None = None
    started_at: float = 0.0
    short_lives: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """`on_line` gets the name of a process and each structured line that it logs.

    `failed` holds an UpFailed once a process is given up.
    """

    def __init__(self, on_line: OnLine, command: Sequence[str] = BBWS, spawn: Spawn = spawned) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_line = on_line
        self._command = command
        self._spawn = spawn
        self._children: dict[str, _Child] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = False

    def launch(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """The command with these arguments runs from now on."""
        child = _Child(name, arguments, environment)
        self._children[name] = child
        self._watchers.append(asyncio.create_task(self._keep_running(child)))

    async def kill(self, name: str) -> None:
        """SIGKILL, as a machine that goes away; the process is started again."""
        child = self._children[name]
        assert child.process is not None, f"{name} is not running"
        child.ready.clear()
        child.process.send_signal(signal.SIGKILL)
        await child.process.wait()

    async def until_ready(self, name: str) -> None:
        """A consumer says it; raises UpFailed when it does not."""
        await self.within_reason(self._children[name].ready.wait(), name)

    async def within_reason(self, waiting: Awaitable[Any], name: str) -> None:
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

    async def stop(self, *, last: Collection[str]) -> None:
        """All of them end, those of `last` after the others."""
        self._stopping = True
        first = self._children.keys() - set(last)
        for names in (first, last):
            children = [self._children[name] for name in names if name in self._children]
            await asyncio.gather(*(_end(child.process) for child in children if child.process))
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self.failed.cancel()

    async def _keep_running(self, child: _Child) -> None:
        while not self._stopping:
            child.started_at = time.monotonic()
            child.process = await self._spawn((*self._command, *child.arguments), child.environment)
            reading = asyncio.create_task(self._read_lines(child, child.process))
            if self._stopping:
                # `stop` began while it was being started, and does not know it.
                await _end(child.process)
            code = await child.process.wait()
            # What a dead process started may still hold its output open: only what is written by now is read.
            await asyncio.wait({reading}, timeout=LAST_LINES_WITHIN_S)
            reading.cancel()
            if self._stopping:
                return
            child.ready.clear()
            self._on_line(child.name, {"level": "error", "event": f"process ended with {code}, starting it again"})
            child.short_lives = child.short_lives + 1 if time.monotonic() - child.started_at < SHORT_LIFE_S else 0
            if child.short_lives >= MAX_SHORT_LIVES:
                self._fail(f"{child.name} ended {child.short_lives} times right after its start")
                return
            await asyncio.sleep(RESTART_AFTER_S)

    async def _read_lines(self, child: _Child, process: Process) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = _parsed(raw)
            if line.get("event") == "consumer ready":
                child.ready.set()
            self._on_line(child.name, line)

    def _fail(self, reason: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(UpFailed(reason))


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        line = None
    return line if isinstance(line, dict) else {"event": raw.decode(errors="replace").rstrip()}


async def _end(process: Process) -> None:
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
