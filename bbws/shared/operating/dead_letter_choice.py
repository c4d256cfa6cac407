"""Which letters of a queue are meant; a module of its own, for the command line to import without the broker."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """All, but for what restricts it; `reason` is a part of the letter's reason, in any case."""

    message_id: str | None = None
    reason: str | None = None

    def takes(self, message_id: str, reason: str) -> bool:
        return self.message_id in (None, message_id) and (self.reason is None or self.reason.lower() in reason.lower())
