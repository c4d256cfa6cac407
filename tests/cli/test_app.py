"""The command `bbws` as a whole: help, one-line errors, exit codes."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from bbws import __version__
from bbws.cli.app import cli
from bbws.shared.settings import Settings
from tests.cli.support import NOBODY, invoke, json_of, one_line
from tests.support.commands import bbws


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _commands(child, (*path, name))


@pytest.mark.parametrize("path", list(_commands(cli)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    """Somebody at three in the morning reads the help, not the source."""
    answer = CliRunner().invoke(cli, [*path, "--help"], prog_name="bbws")
    assert answer.exit_code == 0
    assert answer.output.startswith(f"Usage: {' '.join(['bbws', *path])}")
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert len((command.help or "").strip()) > 15


def test_a_command_that_does_not_exist_is_a_usage_error() -> None:
    """Exit code 2 and a hint, as every command line does."""
    answer = invoke("frobnicate")
    assert (answer.exit_code, "No such command 'frobnicate'" in answer.output) == (2, True)


@pytest.mark.parametrize(
    "command", ["gateway", "consumer notify", "provision --check", "dlq list", "openapi", "asyncapi"]
)
def test_a_wrong_setting_is_one_line_that_names_the_variable(command: str) -> None:
    """The person who set it finds it by its name; its value is not repeated, it may be a secret."""
    answer = invoke(*command.split(), environment={"BBWS_RECEIVE_WAIT_S": "wrong-value"})
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: BBWS_RECEIVE_WAIT_S: ")
    assert "wrong-value" not in answer.output


def test_a_missing_key_in_production_is_told() -> None:
    """It is checked across settings, so that no single variable is at fault."""
    answer = invoke("gateway", environment={"BBWS_ENVIRONMENT": "prod"})
    assert answer.output.startswith(
        "Error: BBWS_ENVIRONMENT=prod: BBWS_CURSOR_SIGNING_KEY and BBWS_TOKEN_SIGNING_KEY need"
    )


@pytest.mark.parametrize("command", ["provision --check", "dlq list"])
def test_an_aws_that_cannot_be_reached_is_one_line(command: str) -> None:
    """The emulator is not running: that is no reason for forty lines of traceback."""
    assert NOBODY in one_line(bbws(*command.split(), environment={"AWS_ENDPOINT_URL": NOBODY}))


def test_the_version_is_told() -> None:
    """A bug report starts with it."""
    assert __version__ in invoke("--version").output


@pytest.mark.needs("dynamodb")
@pytest.mark.parametrize(
    "command", ["tenants list", "tenants list --email a@b.example", "users list", "audit list platform"]
)
def test_nothing_found_is_json_too(command: str, provisioned: Settings) -> None:
    """A script reads an empty list; no output at all is an error in every JSON parser."""
    assert json_of(bbws(*command.split(), "--json", environment=provisioned.as_environment())) == []
