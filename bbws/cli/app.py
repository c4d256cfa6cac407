"""The command `bbws`: arguments only, every command calls one function."""

import functools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import orjson
from pydantic import ValidationError

from bbws import __version__
from bbws.cli.audit import audit
from bbws.cli.running import configured as _configured
from bbws.cli.running import person as _person
from bbws.cli.running import quiet as _quiet
from bbws.cli.running import run as _run
from bbws.cli.running import tool_settings as _tool_settings
from bbws.cli.tenants import tenants
from bbws.cli.users import token, users
from bbws.shared.errors import BbwsError
from bbws.shared.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

PORT = click.IntRange(1, 65535)


class OneLineErrors(click.Group):
    """Errors that a person can mend are one line and exit code 1; with BBWS_LOG_LEVEL=DEBUG the traceback comes too."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except ValidationError as error:
            raise click.ClickException(_settings_errors(error)) from error
        except Exception as error:
            if not _is_told(error):
                raise
            if os.environ.get("BBWS_LOG_LEVEL") == "DEBUG":
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
@click.option("--stop-with-parent", is_flag=True, hidden=True)
def cli(stop_with_parent: bool) -> None:
    """Sells and runs WordPress hosting.

    Settings come from environment variables with the prefix BBWS_ (and AWS's own); `bbws up` needs none.
    """
    if stop_with_parent:
        threading.Thread(target=_stop_when_input_ends, daemon=True).start()


cli.add_command(tenants)
cli.add_command(users)
cli.add_command(token)
cli.add_command(audit)


@cli.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".bbws/up"),
    show_default=True,
    help="Where state and mails are kept.",
)
@click.option("--fresh", is_flag=True, help="Forget what an earlier run left.")
@click.option("--gateway-port", type=PORT, default=8080, show_default=True)
@click.option("--payfast-port", type=PORT, default=8081, show_default=True)
@click.option("--mailbox-port", type=PORT, default=8082, show_default=True)
@click.option("--emulator-port", type=PORT, default=4566, show_default=True)
def up(home: Path, fresh: bool, gateway_port: int, payfast_port: int, mailbox_port: int, emulator_port: int) -> None:
    """Run the whole system on this machine until Ctrl-C.

    Starts the embedded AWS, the PayFast stand-in, a mailbox, the gateway and every consumer, each as a process of its
    own, with a small catalogue to buy from. State is kept between clean stops.
    """
    from bbws.commands.system import run_up
    from bbws.local.up import Ports

    _quiet("up")
    ports = Ports(gateway_port, payfast_port, mailbox_port, emulator_port)
    _run(run_up(home, ports, fresh=fresh, say=click.echo))


@cli.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".bbws/demo"),
    show_default=True,
    help="Where invoice and mails are put; emptied first.",
)
@click.option("--verbose", is_flag=True, help="Also show what every process logs.")
def demo(home: Path, verbose: bool) -> None:
    """Sell one hosting product: order, payment, invoice, mails. Exit code 0 when all of it arrived."""
    from bbws.commands.system import run_demo

    _quiet("demo")
    _run(run_demo(home, verbose=verbose, say=click.echo))


@cli.command()
def gateway() -> None:
    """Run the HTTP gateway: API, storefront, documentation (/docs), health and metrics."""
    from bbws.gateway.app import run

    run(_configured("gateway"))


@cli.command()
@click.argument("name")
@click.option("--drain", is_flag=True, help="Stop once there is nothing left to do.")
def consumer(name: str, drain: bool) -> None:
    """Run one consumer: order-record, order-pdf, notify or housekeeping."""
    from bbws.consumers import CONSUMERS
    from bbws.consumers.app import application, build

    if name not in CONSUMERS:
        raise click.UsageError(f"there is no consumer {name}; there are {', '.join(CONSUMERS)}")
    app = application(build(CONSUMERS[name].register, _configured(name)), drain=drain)
    _run(app.run())


@cli.command()
@click.option("--check", is_flag=True, help="Change nothing; print what differs and exit with 1 if anything does.")
def provision(check: bool) -> None:
    """Create what topology declares: tables, buckets, templates, bus, topics, queues, rules.

    The user pool too, on an emulator; on AWS Terraform makes it, and --check tells what differs.
    """
    from bbws.commands.system import run_provision

    differences = _run(run_provision(_tool_settings("provision"), check=check))
    for line in differences:
        click.echo(line)
    if differences:
        raise SystemExit(1)
    click.echo("everything is as declared")


@cli.group()
def dlq() -> None:
    """Look at dead letters, mend them, send them back, archive or drop them."""


_QUEUE = click.argument("queue")
_CHOICE = (
    click.option("--id", "message_id", help="Only the message with this id."),
    click.option("--reason", help="Only those whose reason contains this text."),
)


def _chosen(command: Callable[P, T]) -> Callable[P, T]:
    return functools.reduce(lambda wrapped, option: option(wrapped), _CHOICE, command)


@dlq.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def dlq_list(as_json: bool) -> None:
    """Every dead-letter queue: how many, how old, grouped by reason and contract version."""
    from bbws.commands.system import list_dead_letters

    click.echo(_run(list_dead_letters(_tool_settings("dlq"), as_json=as_json)))


@dlq.command("show")
@_QUEUE
@_chosen
def dlq_show(queue: str, message_id: str | None, reason: str | None) -> None:
    """The dead letters of QUEUE as JSON, each with its reason, headers and decoded body."""
    from bbws.commands.system import show_dead_letters

    letters = _run(show_dead_letters(_tool_settings("dlq"), queue, message_id, reason))
    click.echo(orjson.dumps(letters, option=orjson.OPT_INDENT_2))


@dlq.command("redrive")
@_QUEUE
@_chosen
@click.option("--dry-run", is_flag=True, help="Only say what would be redriven.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many messages per second.")
def dlq_redrive(queue: str, message_id: str | None, reason: str | None, dry_run: bool, rate: float | None) -> None:
    """Send dead letters of QUEUE to their source queue again; all, unless --id or --reason choose."""
    from bbws.commands.console_lines import printable
    from bbws.commands.system import redrive_dead_letters, show_dead_letters

    settings = _tool_settings("dlq")
    if dry_run:
        letters = _run(show_dead_letters(settings, queue, message_id, reason))
        for letter in letters:
            click.echo(f"{letter['id']}  {printable(letter['reason'])}")
        click.echo(f"would be redriven: {len(letters)}")
        return
    moved = _run(redrive_dead_letters(settings, _person(), queue, message_id, reason, per_second=rate))
    click.echo(f"redriven: {moved}")


@dlq.command("edit")
@_QUEUE
@click.option("--id", "message_id", required=True, help="The message to edit.")
@click.argument("file", type=click.File("rb"))
def dlq_edit(queue: str, message_id: str, file: Any) -> None:
    """Give one dead letter of QUEUE another payload; its headers stay, and it stays where it is, under a new id.

    FILE is the new payload; - reads standard input.
    """
    from bbws.commands.system import edit_dead_letter

    content = file.read().strip()
    click.echo(f"edited: {_run(edit_dead_letter(_tool_settings('dlq'), _person(), queue, message_id, content))}")


@dlq.command("archive")
@_QUEUE
@_chosen
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Append to this file.")
def dlq_archive(queue: str, message_id: str | None, reason: str | None, file: Path | None) -> None:
    """Move dead letters of QUEUE into the bucket of documents, as JSON lines, or into a file."""
    from bbws.commands.system import archive_dead_letters

    moved = _run(archive_dead_letters(_tool_settings("dlq"), _person(), queue, message_id, reason, file=file))
    click.echo(f"archived: {moved}")


@dlq.command("drop")
@_QUEUE
@_chosen
@click.option("--yes", is_flag=True, help="Do not ask.")
def dlq_drop(queue: str, message_id: str | None, reason: str | None, yes: bool) -> None:
    """Delete dead letters of QUEUE for good; all, unless --id or --reason choose."""
    from bbws.commands.system import drop_dead_letters

    if not yes:
        click.confirm(f"Delete dead letters of {queue} for good?", abort=True)
    click.echo(f"dropped: {_run(drop_dead_letters(_tool_settings('dlq'), _person(), queue, message_id, reason))}")


@cli.group()
def payfast() -> None:
    """Tools for payments."""


@payfast.command("verify-itn")
@click.option("--passphrase", envvar="BBWS_PAYFAST_PASSPHRASE", help="The merchant account's; none where it has none.")
@click.argument("file", type=click.File("rb"))
def payfast_verify_itn(passphrase: str | None, file: Any) -> None:
    """Tell whether the signature of a raw ITN body holds, and print its fields.

    FILE is the body as PayFast posted it; - reads standard input. Exit code 0 when it holds, 1 when not.
    """
    from bbws.commands.system import verify_itn

    holds, lines = verify_itn(file.read(), passphrase)
    click.echo("\n".join(lines))
    if not holds:
        raise SystemExit(1)


@cli.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the gateway."""
    from bbws.gateway.openapi import document

    click.echo(orjson.dumps(document(Settings()), option=orjson.OPT_INDENT_2))


@cli.command()
def asyncapi() -> None:
    """Print the AsyncAPI 3.0 document of all consumers."""
    from bbws.commands.system import asyncapi_document

    click.echo(asyncapi_document(Settings()))


@cli.group("stand-in", hidden=True)
def stand_in() -> None:
    """Outside systems for development: they speak the real protocols, and no money moves."""


@stand_in.command("payfast")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=PORT, default=8081, show_default=True)
@click.option(
    "--retry-base-s", type=float, default=10, show_default=True, help="First pause before an ITN is repeated."
)
def stand_in_payfast(host: str, port: int, retry_base_s: float) -> None:
    """PayFast: hosted payment page, signed ITNs, /eng/query/validate."""
    from bbws.commands.system import serve_payfast

    serve_payfast(Settings(), host, port, retry_base_s)


@stand_in.command("catalogue")
def stand_in_catalogue() -> None:
    """Put the demo products and their campaign on sale; what is there already stays as it is."""
    from bbws.commands.system import put_demo_data

    _run(put_demo_data(_configured("catalogue")))
    click.echo("the demo catalogue is on sale")


@stand_in.command("mailbox")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=PORT, default=8082, show_default=True)
@click.option("--mail-dir", type=click.Path(file_okay=False, path_type=Path), required=True)
def stand_in_mailbox(host: str, port: int, mail_dir: Path) -> None:
    """A page that shows the mails which the embedded AWS kept."""
    from bbws.commands.system import serve_mailbox

    serve_mailbox(host, port, mail_dir)


def _is_told(error: Exception) -> bool:
    from bbws.commands.system import TOLD

    return isinstance(error, (BbwsError, *TOLD))


def _settings_errors(error: ValidationError) -> str:
    """Names the variables; never the values, which may be secrets."""
    told = ((entry["loc"], entry["msg"].removeprefix("Value error, ")) for entry in error.errors(include_input=False))
    return "; ".join(f"{_variable_of(loc)}: {message}" if loc else message for loc, message in told)


def _variable_of(location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    own = Settings.model_fields.get(name)
    return f"BBWS_{name.upper()}" if own and own.validation_alias is None else ".".join(map(str, location))


def _stop_when_input_ends() -> None:
    # Not sys.stdin: its lock, held by this thread, would break the interpreter's own shutdown.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    cli(prog_name="bbws")
