"""The command `bbws`: its groups and commands, and how errors are shown."""

import os
import signal
import threading
from typing import Any

import click
from pydantic import ValidationError

from bbws import __version__
from bbws.cli.audit import audit
from bbws.cli.dead_letters import dlq
from bbws.cli.payments import payfast
from bbws.cli.specifications import asyncapi, openapi
from bbws.cli.stand_ins import stand_in
from bbws.cli.system import consumer, demo, gateway, provision, up
from bbws.cli.tenants import tenants
from bbws.cli.users import token, users
from bbws.shared.errors import Unavailable
from bbws.shared.settings import Settings


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
            if not _is_expected(error) or os.environ.get("BBWS_LOG_LEVEL") == "DEBUG":
                raise
            raise click.ClickException(_text_of(error)) from error


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
@click.option("--stop-with-parent", is_flag=True, hidden=True)
def cli(stop_with_parent: bool) -> None:
    """Sells and runs WordPress hosting.

    Settings come from environment variables with the prefix BBWS_ (and AWS's own); `bbws up` needs none.
    """
    if stop_with_parent:
        threading.Thread(target=_stop_when_input_ends, daemon=True).start()


for command in (up, demo, gateway, consumer, provision):
    cli.add_command(command)
for command in (tenants, users, token, audit, dlq, payfast, openapi, asyncapi, stand_in):
    cli.add_command(command)


def _is_expected(error: Exception) -> bool:
    from bbws.commands.errors import EXPECTED

    return isinstance(error, EXPECTED)


def _text_of(error: Exception) -> str:
    """Of what is out of reach also where it was looked for, which the error below says."""
    reason = error.__cause__ if isinstance(error, Unavailable) else None
    return f"{error}: {reason}" if reason else str(error)


def _settings_errors(error: ValidationError) -> str:
    """Names the variables; never the values, which may be secrets."""
    found = ((entry["loc"], entry["msg"].removeprefix("Value error, ")) for entry in error.errors(include_input=False))
    return "; ".join(f"{_variable_of(loc)}: {message}" if loc else message for loc, message in found)


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
