"""No container engine is at hand where tests run, so the file is held against all that it names."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import AliasChoices

from bbws.cli.app import cli
from bbws.consumers import CONSUMERS
from bbws.consumers.app import GRACEFUL_TIMEOUT_S
from bbws.gateway.app import SHUTDOWN_TIMEOUT_S
from bbws.shared.settings import Settings
from tests.deploy.support import COMPOSE, ours, services


def test_the_file_is_a_compose_file() -> None:
    """A misspelled key is ignored or refused by the engine, on the day somebody needs it."""
    linter = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [linter, "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_each_consumer_is_exactly_one_service() -> None:
    """A consumer that nobody starts leaves its queue to grow; a name of its own lets it be scaled alone."""
    commands = [service["command"] for service in ours().values()]
    assert sorted(command[1] for command in commands if command[0] == "consumer") == sorted(CONSUMERS)


@pytest.mark.parametrize("name", sorted(ours()))
def test_the_command_exists(name: str) -> None:
    """An image starts whatever it is told; only the CLI knows which words are commands and options."""
    _resolve(cli, ours()[name]["command"])


@pytest.mark.parametrize("name", sorted(ours()))
def test_each_variable_is_a_setting(name: str) -> None:
    """A variable that no setting reads is silently ignored, and the default is used instead."""
    assert set(ours()[name]["environment"]) <= _variables()


@pytest.mark.parametrize("name", sorted(ours()))
def test_the_settings_are_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings refuse stops a container right after its start."""
    for variable, value in ours()[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    assert settings.payfast_source_ranges == ()
    assert settings.payfast_source_hosts == ("payfast",)


@pytest.mark.parametrize("name", sorted(ours()))
def test_containers_have_no_more_rights_than_they_need(name: str) -> None:
    """An attacker who runs code in a container must find nothing to write to and nothing to become."""
    service = ours()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_ports_are_open_on_this_machine_only() -> None:
    """Nothing here asks who calls: a port on all interfaces would offer it to the whole network."""
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_a_container_outlives_what_it_has_in_hand() -> None:
    """A container that is killed before its handler ends repeats the work, and may mail twice."""
    for service in ours().values():
        if service["command"][0] == "consumer":
            assert _seconds(service["stop_grace_period"]) > GRACEFUL_TIMEOUT_S
    assert _seconds(ours()["gateway"]["stop_grace_period"]) > SHUTDOWN_TIMEOUT_S


def test_whoever_runs_on_tells_whether_it_is_healthy() -> None:
    """`docker compose up --wait` and dependants believe a container without a health check at once."""
    for name, service in services().items():
        assert ("healthcheck" in service) != (service["restart"] == "no"), name


def test_everything_waits_for_the_tables() -> None:
    """A gateway that starts before its tables stand answers 503 to its first customers."""
    for name in ("gateway", "catalogue", *CONSUMERS):
        assert ours()[name]["depends_on"]["provision"] == {"condition": "service_completed_successfully"}
    assert ours()["provision"]["depends_on"]["emulator"] == {"condition": "service_healthy"}


def test_health_is_asked_where_it_is_answered() -> None:
    """A check of another port than the process serves would call every container dead."""
    for service in ours().values():
        if service["command"][0] == "consumer":
            port = service["environment"]["BBWS_CONSUMER_HTTP_PORT"]
            assert f":{port}/healthz" in service["healthcheck"]["test"][-1]
    gateway = ours()["gateway"]
    assert f":{gateway['environment']['BBWS_GATEWAY_PORT']}/readyz" in gateway["healthcheck"]["test"][-1]


def _resolve(command: click.Command, words: list[str]) -> None:
    """Raises click's errors for what is no command, no option or not its value."""
    with command.make_context(command.name, list(words), resilient_parsing=False) as context:
        if isinstance(command, click.Group):
            _, found, rest = command.resolve_command(context, words)
            assert found
            _resolve(found, rest)
        elif command.name == "consumer":
            assert context.params["name"] in CONSUMERS


def _variables() -> set[str]:
    return {variable for name, field in Settings.model_fields.items() for variable in _variables_of(name, field)}


def _variables_of(name: str, field: Any) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias or f"BBWS_{name.upper()}")]


def _seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text.removesuffix("s"))
