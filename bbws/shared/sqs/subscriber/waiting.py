"""What was received and has no handler yet: in one line, or for FIFO queues in groups (`groups.Lanes`)."""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from ..message import ReceivedBatch, ReceivedMessage


class Waiting(Protocol):
    """Where batches wait for a slot."""

    def add(self, batches: Sequence[ReceivedBatch]) -> None: ...

    def next(self, now: float) -> ReceivedBatch | None:
        """Take out the one that begins now; None where none may."""

    def ready(self, now: float) -> int:
        """How many need nothing but a slot."""

    def __len__(self) -> int:
        """Messages that wait, whatever for."""

    def take_all(self) -> list[ReceivedMessage]:
        """Take out and return all of them, in order."""


class Line:
    """Of a standard queue. What was received before goes first: SQS has counted that, and does not go on for ever."""

    def __init__(self) -> None:
        self._first: deque[ReceivedBatch] = deque()
        self._fresh: deque[ReceivedBatch] = deque()

    def __len__(self) -> int:
        return len(self._first) + len(self._fresh)

    def add(self, batches: Sequence[ReceivedBatch]) -> None:
        for batch in batches:
            (self._first if _came_before(batch) else self._fresh).append(batch)

    def next(self, now: float) -> ReceivedBatch | None:  # noqa: ARG002 - all of them may begin
        if self._first:
            return self._first.popleft()
        return self._fresh.popleft() if self._fresh else None

    def ready(self, now: float) -> int:  # noqa: ARG002
        return len(self)

    def take_all(self) -> list[ReceivedMessage]:
        return self.take_older(float("inf"))

    def take_older(self, received_before: float) -> list[ReceivedMessage]:
        """Take out and return those that wait since before then."""
        taken: list[ReceivedMessage] = []
        for line in (self._first, self._fresh):
            late = [batch for batch in line if batch[0].received_at < received_before]
            for batch in late:
                line.remove(batch)
                taken += batch
        return taken


def _came_before(batch: ReceivedBatch) -> bool:
    return batch[0].sqs_receives > 1 if len(batch) == 1 else any(raw.sqs_receives > 1 for raw in batch)
