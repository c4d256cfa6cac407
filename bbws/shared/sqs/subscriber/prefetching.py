"""How much work may be received in advance."""

from collections.abc import Sequence

from ..message import ReceivedBatch

# Of the newest value in the moving average of handling times: a lasting change shows soon, one slow message hardly.
_WEIGHT = 0.15
# Enough work until the next receive returns, even where a handler takes next to no time.
_MAX_MESSAGES = 100
_MAX_BYTES = 4 * 1024 * 1024


class Prefetch:
    """What slots handle in `seconds`, by the mean time of the handler; nothing before one has been timed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._mean_s: float | None = None
        self._mean_bytes = 1.0

    def note_handled(self, took_s: float) -> None:
        self._mean_s = took_s if self._mean_s is None else self._mean_s + _WEIGHT * (took_s - self._mean_s)

    def note_received(self, batches: Sequence[ReceivedBatch]) -> None:
        sizes = [len(raw["Body"]) for batch in batches for raw in batch]
        if sizes:
            self._mean_bytes = max(sum(sizes) / len(sizes), 1)

    def messages(self, slots: int) -> int:
        """For so many slots that get on with their work."""
        if self._mean_s is None or not self.seconds:
            return 0
        in_time = self.seconds * slots / max(self._mean_s, 1e-6)
        return int(min(in_time, _MAX_MESSAGES, _MAX_BYTES / self._mean_bytes)) if slots else 0
