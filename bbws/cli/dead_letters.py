"""`bbws dlq`: arguments only."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

import click

from bbws.cli.running import AS_JSON, json_of, person, run, tool_settings
from bbws.shared.operating.dead_letter_choice import Choice

T = TypeVar("T")

_QUEUE = click.argument("queue")
_ID = click.option("--id", "message_id", help="Only the message with this id.")
_REASON = click.option("--reason", help="Only those whose reason contains this text.")


def _choice(command: Callable[..., T]) -> Callable[..., T]:
    """Options that say which letters are meant: `choice`."""

    @_ID
    @_REASON
    @functools.wraps(command)
    def chosen(*arguments: object, message_id: str | None, reason: str | None, **options: object) -> T:
        return command(*arguments, choice=Choice(message_id, reason), **options)

    return chosen


@click.group()
def dlq() -> None:
    """Look at dead letters, mend them, send them back, archive or drop them."""


@dlq.command("list")
@AS_JSON
def dlq_list(as_json: bool) -> None:
    """Every dead-letter queue: how many, how old, grouped by reason and contract version."""
    from bbws.commands.dead_letters import document_of, lines_of, summaries

    found = run(summaries(tool_settings("dlq")))
    click.echo(json_of([document_of(summary) for summary in found]) if as_json else "\n".join(lines_of(found)))


@dlq.command("show")
@_QUEUE
@_choice
def dlq_show(queue: str, choice: Choice) -> None:
    """The dead letters of QUEUE as JSON, each with its reason, headers and decoded body."""
    from bbws.commands.dead_letters import show

    click.echo(json_of(run(show(tool_settings("dlq"), queue, choice))))


@dlq.command("redrive")
@_QUEUE
@_choice
@click.option("--dry-run", is_flag=True, help="Only say what would be redriven.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many messages per second.")
def dlq_redrive(queue: str, choice: Choice, dry_run: bool, rate: float | None) -> None:
    """Send dead letters of QUEUE to their source queue again; all, unless --id or --reason choose."""
    from bbws.commands.console_lines import printable
    from bbws.commands.dead_letters import redrive, show

    settings = tool_settings("dlq")
    if dry_run:
        letters = run(show(settings, queue, choice))
        for letter in letters:
            click.echo(f"{letter['id']}  {printable(letter['reason'])}")
        click.echo(f"would be redriven: {len(letters)}")
        return
    click.echo(f"redriven: {run(redrive(settings, person(), queue, choice, per_second=rate))}")


@dlq.command("edit")
@_QUEUE
@click.option("--id", "message_id", required=True, help="The message to edit.")
@click.argument("file", type=click.File("rb"))
def dlq_edit(queue: str, message_id: str, file: IO[bytes]) -> None:
    """Give one dead letter of QUEUE another payload; its headers stay, and it stays where it is, under a new id.

    FILE is the new payload; - reads standard input.
    """
    from bbws.commands.dead_letters import edit

    edited = run(edit(tool_settings("dlq"), person(), queue, message_id, file.read().strip()))
    click.echo(f"edited: {edited}")


@dlq.command("archive")
@_QUEUE
@_choice
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Append to this file.")
def dlq_archive(queue: str, choice: Choice, file: Path | None) -> None:
    """Move dead letters of QUEUE into the bucket of documents, as JSON lines, or into a file."""
    from bbws.commands.dead_letters import archive

    click.echo(f"archived: {run(archive(tool_settings('dlq'), person(), queue, choice, file=file))}")


@dlq.command("drop")
@_QUEUE
@_choice
@click.option("--yes", is_flag=True, help="Do not ask.")
def dlq_drop(queue: str, choice: Choice, yes: bool) -> None:
    """Delete dead letters of QUEUE for good; all, unless --id or --reason choose."""
    from bbws.commands.dead_letters import drop

    if not yes:
        click.confirm(f"Delete dead letters of {queue} for good?", abort=True)
    click.echo(f"dropped: {run(drop(tool_settings('dlq'), person(), queue, choice))}")
