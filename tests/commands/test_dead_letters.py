"""What `bbws dlq list` prints."""

from bbws.commands.dead_letters import lines_of
from bbws.shared.operating.dead_letter_queues import Summary


def test_a_reason_neither_steers_the_terminal_nor_forges_a_line() -> None:
    """Whoever can send a message that is refused chooses words of its reason, and operators read them."""
    forged = "refused\x1b]0;pwned\x07\nnotify-dlq      0"
    lines = lines_of([Summary("notify-dlq", 2, None, [((forged, "ORDER_CREATED"), 2)])])
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert "refused\\x1b]0;pwned\\x07\\x0anotify-dlq" in lines[1]
