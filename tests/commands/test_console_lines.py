"""What `bbws up` prints."""

import pytest

from bbws.commands.console_lines import ConsoleLines


def test_a_logged_value_neither_steers_the_terminal_nor_forges_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Paths and reasons come from strangers: an escape sequence in one could rename windows or hide lines."""
    ConsoleLines()("gateway", {"event": "http.request\x1b[2J", "path": "/\x1b]0;pwned\x07\nFAKE LINE\u2028more"})
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "\x1b]" not in printed
    assert "\x1b[2J" not in printed
    assert "\\x1b]0;pwned\\x07\\x0aFAKE LINE\\x2028more" in printed
