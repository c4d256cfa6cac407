"""Log lines of many processes on one terminal: a colour for each process, one line for each event."""

import sys
from collections.abc import Mapping
from typing import Any

import click

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_yellow")
_WIDTH = 13
# Said by the name of the process and the place of the line, or of no use to somebody who watches.
_UNSAID = frozenset({"event", "timestamp", "level", "logger", "process", "color_message"})
_QUIET_LEVELS = frozenset({"debug"})


class ConsoleLines:
    """Prints what processes log; asks the terminal once whether it takes colours."""

    def __init__(self) -> None:
        self._colours: dict[str, str] = {}
        self._coloured = sys.stdout.isatty()

    def __call__(self, name: str, line: Mapping[str, Any]) -> None:
        if line.get("level") in _QUIET_LEVELS:
            return
        at = str(line.get("timestamp", ""))[11:23]
        head = self._styled(f"{name:<{_WIDTH}}", fg=self._colours.setdefault(name, _COLOURS[len(self._colours) % 8]))
        event = self._styled(_short(line.get("event", "")), fg=_level_colour(line))
        details = " ".join(f"{key}={_short(value)}" for key, value in line.items() if key not in _UNSAID)
        click.echo(f"{at:<12} {head} {event} {self._styled(details, dim=True)}".rstrip())

    def _styled(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._coloured and text else text


def _level_colour(line: Mapping[str, Any]) -> str | None:
    return {"warning": "yellow", "error": "red", "critical": "red"}.get(str(line.get("level")))


def printable(text: str) -> str:
    """Without control characters: what a stranger sent must neither steer the terminal nor look like a line of ours."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _short(value: Any) -> str:
    text = printable(str(value))
    return text if len(text) <= 160 else f"{text[:157]}…"
