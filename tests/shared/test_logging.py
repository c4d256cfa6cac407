"""Log lines as a process writes them, read from its output."""

import json
import os
import subprocess
import sys
from typing import Any

PROGRAM = """
import logging, sys
from bbws.shared.logging import bind, bound, configure, get_logger
from bbws.shared.settings import Settings

settings = Settings()
configure(settings, "order-record")
log = get_logger("bbws.test")
bind(correlation_id="order-1")
with bound(message_id="m-1"):
    log.info("event published", count=2, settings=settings)
    logging.getLogger("some.library").warning("library says %s", "hello", extra={"attempt": 3})
log.debug("not wanted at INFO")
logging.getLogger("botocore").info("too chatty")
def charge(card):
    password = "local-" + "secret"
    raise ValueError("no")
try:
    charge("4111" + "1111")
except ValueError:
    log.exception("it failed")
    logging.getLogger("some.library").exception("library failed")
log.info("after", odd={1: object, (2, 3): object}, large=2**70, broken=chr(0xD800))
"""


def _output(**environment: str) -> str:
    given = {**os.environ, "BBWS_PAYFAST_PASSPHRASE": "plain-passphrase", "AWS_SECRET_ACCESS_KEY": "plain-key"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=given | environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def _line(lines: list[dict[str, Any]], event: str) -> dict[str, Any]:
    return next(line for line in lines if line["event"] == event)


def test_every_line_is_json_with_the_ids_of_its_flow() -> None:
    """An operator searches by order or message, across processes and libraries."""
    lines = [json.loads(line) for line in _output(BBWS_LOG_FORMAT="json").splitlines()]
    own, foreign = _line(lines, "event published"), _line(lines, "library says hello")
    for line in (own, foreign):
        assert (line["correlation_id"], line["message_id"]) == ("order-1", "m-1")
        assert line["process"] == "order-record"
        assert line["timestamp"].endswith("Z")
    assert (own["level"], own["logger"], own["count"]) == ("info", "bbws.test", 2)
    assert (foreign["level"], foreign["logger"], foreign["attempt"]) == ("warning", "some.library", 3)
    assert "message_id" not in _line(lines, "after"), "an id outlived its message"
    assert _line(lines, "after")["large"] == 2**70
    assert {"not wanted at INFO", "too chatty"}.isdisjoint(line["event"] for line in lines)


def test_no_line_shows_a_secret() -> None:
    """Settings are logged, and tracebacks happen; neither may hand out keys, nor what a variable held."""
    for form in ("json", "pretty"):
        text = _output(BBWS_LOG_FORMAT=form, FORCE_COLOR="1")
        assert "it failed" in text
        assert "library failed" in text
        for hidden in ("plain-passphrase", "plain-key", "local-secret", "41111111"):
            assert hidden not in text


def test_a_traceback_says_where_it_happened() -> None:
    """Without variables the frames must still be there: they are all an operator has."""
    failed = _line([json.loads(line) for line in _output(BBWS_LOG_FORMAT="json").splitlines()], "it failed")
    (trace,) = failed["exception"]
    assert (trace["exc_type"], trace["exc_value"]) == ("ValueError", "no")
    assert [frame["name"] for frame in trace["frames"]] == ["<module>", "charge"]


def test_pretty_lines_are_for_people() -> None:
    """On a terminal nobody reads JSON; ids stay in the line."""
    first = _output(BBWS_LOG_FORMAT="pretty").splitlines()[0]
    assert "event published" in first
    assert "order-1" in first
    assert not first.startswith("{")


def test_debug_is_shown_when_it_is_asked_for() -> None:
    """And the libraries that say too much stay quiet even then."""
    events = [json.loads(line)["event"] for line in _output(BBWS_LOG_LEVEL="DEBUG").splitlines()]
    assert "not wanted at INFO" in events
    assert "too chatty" not in events


def test_a_line_that_cannot_be_written_fails_nothing() -> None:
    """A disk that is full, or a pipe that nobody reads: what was done is done, and its caller is answered."""
    script = (
        "import io\n"
        "from bbws.shared.logging import configure, get_logger\n"
        "from bbws.shared.settings import Settings\n"
        "class Full(io.StringIO):\n"
        "    def write(self, text):\n"
        "        raise OSError('no space left')\n"
        "configure(Settings(), 'order-record', Full())\n"
        "get_logger('bbws.test').info('event published')\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "alive\n"
    assert "no space left" in done.stderr
