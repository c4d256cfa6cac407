"""What every command needs: settings, a log, an event loop, the name of who asks, and JSON for programs."""

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import click
import orjson
from pydantic import BaseModel

from bbws.shared.settings import Settings

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)

PORT = click.IntRange(1, 65535)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")


def configured(process: str) -> Settings:
    """Settings of a process that logs to standard output."""
    from bbws.shared.logging import configure

    settings = Settings()
    configure(settings, process)
    return settings


def tool_settings(command: str) -> Settings:
    """Settings of a command whose standard output is its answer; it logs to standard error."""
    from bbws.shared.logging import configure

    settings = Settings()
    configure(settings, command, sys.stderr)
    return settings


def quiet(command: str) -> None:
    """What this process itself does beside its children is logged to standard error, from warnings on.

    Whatever settings the environment holds are not asked: the command has its own.
    """
    from bbws.shared.logging import configure

    configure(Settings.model_construct(log_level="WARNING"), command, sys.stderr)


def run(work: Awaitable[T]) -> T:
    """What `work` returns; what it changes is audited as done from the command line."""
    from bbws.shared.core.audit import acting

    async def awaited() -> T:
        with acting("cli"):
            return await work

    try:
        import uvloop
    except ImportError:
        return asyncio.run(awaited())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(awaited())


def person() -> str:
    """Who asks, as the audit trail names them: the operating system's user."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return "cli:unknown"


def json_of(document: object) -> str:
    """What `--json` prints."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def tell(found: ModelT, line_of: Callable[[ModelT], str], *, as_json: bool) -> None:
    click.echo(json_of(found.model_dump(mode="json")) if as_json else line_of(found))


def tell_all(found: Sequence[ModelT], line_of: Callable[[ModelT], str], *, as_json: bool) -> None:
    """A line each, and none where there is nothing."""
    if as_json:
        click.echo(json_of([each.model_dump(mode="json") for each in found]))
    elif found:
        click.echo("\n".join(map(line_of, found)))
