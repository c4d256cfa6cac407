"""Documents rot in silence: what they say of commands, settings and files is held against the real ones."""

import re
import shlex
from pathlib import Path

import click
import pytest

from bbws.cli.app import cli
from bbws.consumers import CONSUMERS
from bbws.shared.settings import Settings
from tests.docs.support import ROOT, documents, shown, variable

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
_MADE = re.compile(r"\bmake ([a-z]+)\b")
_CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
_COMMAND = re.compile(r"(?:^|[\s$])(?:\.venv/bin/)?(bbws [^\n|#;&`]*)", re.MULTILINE)
_ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| .+ \|$", re.MULTILINE)
_SETTING = re.compile(r"\bBBWS_[A-Z_]+\b")
# Of compose.yaml, not of the processes.
_OF_COMPOSE = {"BBWS_EMULATOR_IMAGE"}

pages = pytest.mark.parametrize("page", documents(), ids=lambda page: page.relative_to(ROOT).as_posix())


@pages
def test_links_lead_somewhere(page: Path) -> None:
    """A reader who meets two dead links trusts nothing else on the page."""
    targets = ["".join(groups).partition("#")[0] for groups in _LINK.findall(page.read_text())]
    local = [target for target in targets if target and "://" not in target]
    assert not [target for target in local if not (page.parent / target).exists()]


@pages
def test_commands_exist(page: Path) -> None:
    """Somebody copies the line at night, while something is broken."""
    for command in _commands(page.read_text()):
        _parse(command)


@pages
def test_make_targets_exist(page: Path) -> None:
    """The first line that a newcomer types is one of these."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for code in _code(page.read_text()) for name in _MADE.findall(code)}
    assert named <= targets


@pages
def test_settings_that_are_named_exist(page: Path) -> None:
    """A variable that no setting reads is silently without effect."""
    known = {variable(field) for field in Settings.model_fields} | _OF_COMPOSE
    assert set(_SETTING.findall(page.read_text())) <= known


def test_the_table_of_settings_is_complete_and_right() -> None:
    """An operator reads the table, not the code; a wrong default there costs an evening."""
    rows = dict(_ROW.findall((ROOT / "docs/operations.md").read_text()))
    assert rows == {variable(field): shown(field) for field in Settings.model_fields}


def test_the_readme_names_every_command() -> None:
    """A command that the README does not name is found by those who wrote it."""
    commands = {name for name, command in cli.commands.items() if not command.hidden}
    named = {command.split()[1] for command in _commands((ROOT / "README.md").read_text())}
    assert commands <= named


def test_the_architecture_names_every_consumer() -> None:
    """The page explains what each process does; one that is missing is nobody's."""
    text = (ROOT / "docs/architecture.md").read_text()
    assert all(f"bbws consumer {name}" in text for name in CONSUMERS)


def test_every_decision_is_listed() -> None:
    """A decision that the list omits is made again, otherwise."""
    folder = ROOT / "docs/adr"
    text = (folder / "README.md").read_text()
    assert all(page.name in text for page in folder.glob("0*.md"))


def test_pictures_are_small() -> None:
    """Every clone carries every version of every picture for ever."""
    pictures = list((ROOT / "docs/images").glob("*"))
    assert pictures
    assert not [picture.name for picture in pictures if picture.stat().st_size > 150_000]


def _code(text: str) -> list[str]:
    return ["".join(groups) for groups in _CODE.findall(text)]


def _commands(text: str) -> list[str]:
    return [command.strip() for code in _code(text) for command in _COMMAND.findall(code)]


def _parse(line: str) -> None:
    """Raises AssertionError for what the CLI does not know; placeholders in capitals stand for anything."""
    words = shlex.split(line.replace("…", "PLACEHOLDER"))[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        assert found, f"`{line}`: there is no {words[0]}"
        command, words = found, words[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options | {"--help"}]
    assert not unknown, f"`{line}`: {command.name} has no {', '.join(unknown)}"
    if command.name == "consumer" and words and not words[0].startswith("-"):
        assert words[0] in CONSUMERS or words[0].isupper(), f"`{line}`: there is no such consumer"
