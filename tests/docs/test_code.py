"""The guide of the broker and the README of its package are run: blocks of Python, the first chapter's commands.

A block whose first line is `# name.py` is a file; `web.py` is run by `make package`, which has FastAPI.
"""

import ast
import asyncio
import inspect
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.docs.support import ROOT
from tests.support.emulator import Aws
from tests.support.waiting import eventually

PACKAGE = ROOT / "bbws/shared/sqs"
GUIDE, README = ROOT / "docs/sqs.md", PACKAGE / "README.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (\w+\.py)\n")
_LIBRARIES_NOT_HERE = {"web.py"}


class Order(BaseModel):
    id: int = 1
    quantity: int = 1


class Entry(Order): ...


class Click(BaseModel):
    page: str


class Price(BaseModel):
    cents: int


class Database:
    async def write(self, order: Order) -> None: ...

    async def ping(self) -> None: ...


async def known(page: str) -> bool:
    return page != "/unknown"


def blocks(page: Path, language: str) -> Iterator[tuple[str, str]]:
    """Each block of a language with where it begins, `sqs.md:12`."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        if found[1] == language:
            yield f"{page.name}:{text.count(chr(10), 0, found.start()) + 2}", found[2]


def files(page: Path) -> dict[str, str]:
    """The blocks that are files, by their names."""
    return {name[1]: code for _, code in blocks(page, "python") if (name := _FILE.match(code))}


PIECES = [(place, code) for place, code in blocks(GUIDE, "python") if not _FILE.match(code)]
CHAPTER = GUIDE.read_text().partition("## Ten minutes")[2].partition("\n## ")[0]


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which the package has its own name."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "faststream_sqs").symlink_to(PACKAGE, target_is_directory=True)
    return folder


@pytest.fixture
def names(alone: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a piece of the guide takes as given: what was imported above it, and a shop of the reader's own."""
    monkeypatch.syspath_prepend(alone)
    names: dict[str, Any] = {"__name__": "guide"}
    exec("from faststream_sqs import *", names)
    broker = names["SQSBroker"](reply_queue="replies")
    queue = names["SQSQueue"]("orders", dead_letter="orders-dlq", max_receive_count=2)

    @broker.subscriber(queue)  # type: ignore[untyped-decorator]
    async def orders(order: dict[str, int]) -> None:
        if "quantity" not in order:
            raise ValueError("nothing ordered")

    @broker.subscriber("prices")  # type: ignore[untyped-decorator]
    async def price(body: dict[str, str]) -> dict[str, int]:
        return {"cents": 100}

    shop = (Order, Entry, Click, Price, known)
    given = {made.__name__: made for made in shop} | {"order": Order(), "orders": [Order(), Order(id=2)]}
    return names | given | {"broker": broker, "database": Database()}


@pytest.mark.parametrize(("place", "code"), PIECES, ids=[place for place, _ in PIECES])
async def test_a_piece_of_the_guide_runs(place: str, code: str, names: dict[str, Any], tmp_path: Path) -> None:
    """A reader copies it. What it awaits is awaited on queues in memory, what it registers is started there."""
    # Test brokers read the source of who enters them.
    (file := tmp_path / place.replace(":", "_")).write_text(code)
    compiled = compile(code, str(file), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with AsyncExitStack() as stack:
        if "await " in code and "async def" not in code.partition("await ")[0] and "TestSQSBroker(" not in code:
            await stack.enter_async_context(names["TestSQSBroker"](names["broker"]))
        outcome = eval(compiled, names)
        if inspect.isawaitable(outcome):
            await outcome
    async with names["TestSQSBroker"](names["broker"]):
        assert await names["broker"].ping(1)


async def test_the_readme_of_the_package_runs(alone: Path, tmp_path: Path) -> None:
    """It is all that an index shows of the package; who copies its files can run them."""
    found = files(README)
    assert len(found) == len(list(blocks(README, "python")))
    for name, code in found.items():
        (tmp_path / name).write_text(code)
    status, output = await _ended(tmp_path, _here(["pytest", "test_service.py"]), {"PYTHONPATH": str(alone)})
    assert status == 0, output


def test_every_file_of_the_guide_is_run_or_parses() -> None:
    """A file that no command of the chapter names would be run by nobody."""
    commands = "\n".join(code for _, code in blocks(GUIDE, "sh"))
    modules = {name: name.removesuffix(".py") for name in files(GUIDE)}
    for name, code in files(GUIDE).items():
        ast.parse(code, name)
        assert name in _LIBRARIES_NOT_HERE or name in commands or f"{modules[name]}:app" in commands


async def test_ten_minutes_are_as_they_are_told(alone: Path, tmp_path: Path, aws: Aws) -> None:
    """The first thing that anybody tries: every command in its order, and what is said to be printed is printed."""
    for name, code in files(GUIDE).items():
        (tmp_path / name).write_text(code)
    environment = {
        "PYTHONPATH": str(alone),
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_DEFAULT_REGION": aws.region,
        "AWS_ACCESS_KEY_ID": aws.access_key_id,
        "AWS_SECRET_ACCESS_KEY": aws.secret_access_key,
    }
    serve, *commands = _commands()
    assert serve[:2] == ["faststream", "run"]
    promised = [line for _, text in blocks(GUIDE, "text") for line in text.splitlines()]
    assert len(promised) == 4
    log = tmp_path / "log"
    async with _serving(serve, tmp_path, environment, log):
        await eventually(lambda: _has(log, "started successfully"), what="the service is there", within_s=30)
        for command in commands[:2]:
            status, output = await _ended(tmp_path, _here(command), environment)
            assert status == 0, output
        await eventually(lambda: _has(log, *promised[:3]), what=f"the service said {promised[:3]}", within_s=30)
        for command in commands[2:]:
            status, output = await _ended(tmp_path, _here(command), environment)
            assert status == 0, output
            if command == ["python", "letters.py"]:
                assert promised[3] in output
    assert [command[0] for command in commands] == ["faststream", "faststream", "python", "pytest"]


def _commands() -> list[list[str]]:
    """The chapter's commands after those that set up an environment and an AWS."""
    lines = [line for found in _BLOCK.finditer(CHAPTER) if found[1] == "sh" for line in found[2].splitlines()]
    commands = [shlex.split(line) for line in lines]
    at = commands.index(["faststream", "run", "service:app"])
    assert all(command[0] in {"python", "pip", "cd", "ministack", "export"} for command in commands[:at])
    return commands[at:]


def _here(command: list[str]) -> list[str]:
    """The command with this environment's Python."""
    return [sys.executable, *command[1:]] if command[0] == "python" else [sys.executable, "-m", *command]


async def _has(log: Path, *texts: str) -> bool:
    said = await asyncio.to_thread(log.read_text)
    return all(text in said for text in texts)


async def _ended(folder: Path, command: list[str], environment: dict[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


@asynccontextmanager
async def _serving(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> AsyncIterator[None]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *_here(command), cwd=folder, env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment, stdout=output,
            stderr=output,
        )  # fmt: skip
    try:
        yield
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(40):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
