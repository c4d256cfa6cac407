"""The embedded AWS as a child process of whoever needs one."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from bbws.local.emulator import ENDPOINT_FILE
from bbws.local.errors import EmulatorFailed

_STOP_WITHIN_S = 10
_POLL_EVERY_S = 0.05
_LOG_TAIL_CHARS = 4000
# What Python and coverage need. Credentials and tokens of the developer are none of the emulator's business.
_PASSED_ON = re.compile(
    r"PATH|HOME|LANG|LC_.*|TZ|TMPDIR|TEMP|TMP|SYSTEMROOT|LD_LIBRARY_PATH|VIRTUAL_ENV|PYTHON.*|COVERAGE.*|COV_CORE_.*"
)


class Emulator:
    """An embedded AWS on 127.0.0.1 from `async with` on until its end; it also stops when this process dies.

    `port=None` takes a free one. State and mails stay in their directories after a stop, unless `fresh` is asked.
    """

    def __init__(
        self,
        state_dir: Path,
        mail_dir: Path,
        *,
        port: int | None = None,
        fresh: bool = False,
        log_file: Path | None = None,
        start_within_s: float = 60,
    ) -> None:
        self.state_dir = state_dir
        self.mail_dir = mail_dir
        self.log_file = log_file or state_dir.with_name(f"{state_dir.name}.log")
        self.endpoint_url = ""
        self._port = port or 0
        self._fresh = fresh
        self._start_within_s = start_within_s
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the process and wait until it answers; raises EmulatorFailed after `start_within_s`."""
        (self.state_dir / ENDPOINT_FILE).unlink(missing_ok=True)
        self._process = await self._spawn()
        healthy = False
        try:
            async with asyncio.timeout(self._start_within_s):
                await self._until_healthy(self._process)
            healthy = True
        except TimeoutError as error:
            raise self._failed(f"did not answer within {self._start_within_s} s") from error
        finally:
            if not healthy:
                await self.stop()

    async def stop(self) -> None:
        """Ask it to write its state and end; kill it after 10 s."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            await _ended(process)
        if process.stdin is not None:
            process.stdin.close()
        self._process = None

    async def _spawn(self) -> asyncio.subprocess.Process:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=child_environment(os.environ),
            )

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "bbws.local.emulator", "--stop-with-parent"]
        command += ["--port", str(self._port), "--state-dir", str(self.state_dir), "--mail-dir", str(self.mail_dir)]
        return [*command, "--fresh"] if self._fresh else command

    async def _until_healthy(self, process: asyncio.subprocess.Process) -> None:
        async with aiohttp.ClientSession() as session:
            while not await self._is_healthy(session, process):
                if process.returncode is not None:
                    raise self._failed(f"ended with {process.returncode}")
                await asyncio.sleep(_POLL_EVERY_S)

    async def _is_healthy(self, session: aiohttp.ClientSession, process: asyncio.subprocess.Process) -> bool:
        endpoint = self.state_dir / ENDPOINT_FILE
        if not endpoint.exists():
            return False
        self.endpoint_url = endpoint.read_text()
        try:
            async with session.get(f"{self.endpoint_url}/_bbws/health") as answer:
                return answer.status == 200 and (await answer.json())["pid"] == process.pid
        except (aiohttp.ClientError, ValueError):
            return False

    def _failed(self, what: str) -> EmulatorFailed:
        tail = self.log_file.read_text(errors="replace")[-_LOG_TAIL_CHARS:]
        return EmulatorFailed(f"the AWS emulator {what}; the end of {self.log_file}:\n{tail}")


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the emulator's process gets; no BBWS_*, no AWS_*, no tokens."""
    return {name: value for name, value in environment.items() if _PASSED_ON.fullmatch(name)}


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
