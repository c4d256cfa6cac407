"""Groups of FIFO queues: what waits in each, and what a call of a batch handler gets."""

from collections import deque
from collections.abc import Callable, Sequence

from ..message import ReceivedBatch, ReceivedMessage


class Lanes:
    """Of a FIFO queue: of each group one batch at a time, in order of arrival.

    A group is busy from `next` to `free`. Where its first is kept for another attempt, those behind it wait too.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, deque[ReceivedBatch]] = {}
        self._busy: set[str] = set()

    def __len__(self) -> int:
        return sum(len(batch) for lane in self._lanes.values() for batch in lane)

    def add(self, batches: Sequence[ReceivedBatch]) -> None:
        for batch in batches:
            self._lanes.setdefault(_group(batch), deque()).append(batch)

    def add_first(self, batches: Sequence[ReceivedBatch]) -> None:
        """Back in front of their group, which is not busy any more."""
        lane = self._lanes.setdefault(_group(batches[0]), deque())
        lane.extendleft(reversed(batches))

    def next(self, now: float) -> ReceivedBatch | None:
        for group, lane in self._lanes.items():
            if group not in self._busy and lane[0][0].kept_until <= now:
                self._busy.add(group)
                batch = lane.popleft()
                if not lane:
                    del self._lanes[group]
                return batch
        return None

    def next_at(self) -> float | None:
        """When the first of those that only wait for their time may begin."""
        return min(
            (lane[0][0].kept_until for group, lane in self._lanes.items() if group not in self._busy), default=None
        )

    def free(self, batch: ReceivedBatch) -> None:
        """The next of its group may begin."""
        self._busy.discard(_group(batch))

    def ready(self, now: float) -> int:
        return sum(g not in self._busy and lane[0][0].kept_until <= now for g, lane in self._lanes.items())

    def take_all(self, but: Callable[[ReceivedMessage], bool] = lambda _: False) -> list[ReceivedMessage]:
        """Take out and return all, in order, but groups of which this is true of each message."""
        lanes, self._lanes = self._lanes, {}
        for group, lane in lanes.items():
            if all(but(raw) for batch in lane for raw in batch):
                self._lanes[group] = lane
        return [raw for group, lane in lanes.items() if group not in self._lanes for batch in lane for raw in batch]

    def take_group_of(self, batch: ReceivedBatch) -> list[ReceivedMessage]:
        """Take out and return what is of the same group as this batch, in order."""
        return [raw for behind in self._lanes.pop(_group(batch), ()) for raw in behind]


def _group(batch: ReceivedBatch) -> str:
    return batch[0].group_id or ""


def split(
    received: Sequence[ReceivedMessage], *, is_ordered: bool, failures: Callable[[ReceivedMessage], int]
) -> list[ReceivedBatch]:
    """What never failed in one batch, of a FIFO queue one for each group; what failed before, each by itself."""
    batches: list[list[ReceivedMessage]] = []
    open_batch: dict[str, list[ReceivedMessage]] = {}
    for raw in received:
        group = raw.group_id or "" if is_ordered else ""
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
