"""Which messages a call of the handler gets, and which FIFO groups wait for a failed message."""

import asyncio
from collections.abc import Callable, Sequence

from ..message import ReceivedBatch, ReceivedMessage

# After its back-off has ended a message may wait this long for its turn before its group is forgotten.
_PATIENCE_S = 60.0


class FailingGroups:
    """Groups whose first message failed and will come again; empty, it is False."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __bool__(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._until = {group: until for group, until in self._until.items() if until > now}
        return bool(self._until)

    def note(self, raw: ReceivedMessage) -> None:
        """A message of a FIFO queue was deleted or given back."""
        group = raw.system("MessageGroupId") or ""
        if raw.gone:
            self._until.pop(group, None)
        elif raw.away_until is not None:
            self._until[group] = raw.away_until + _PATIENCE_S


def split(
    received: Sequence[ReceivedMessage], *, is_ordered: bool, failures: Callable[[ReceivedMessage], int]
) -> list[ReceivedBatch]:
    """What never failed in one batch, of a FIFO queue one for each group; what failed before, each by itself."""
    batches: list[list[ReceivedMessage]] = []
    open_batch: dict[str, list[ReceivedMessage]] = {}
    for raw in received:
        group = raw.system("MessageGroupId") or "" if is_ordered else ""
        if failures(raw):
            batches.append([raw])
            if is_ordered:
                open_batch.pop(group, None)
        elif group in open_batch:
            open_batch[group].append(raw)
        else:
            open_batch[group] = [raw]
            batches.append(open_batch[group])
    return [ReceivedBatch(batch) for batch in batches]
