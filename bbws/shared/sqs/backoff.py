"""How long a failed message stays away before it is tried again."""

import math
from dataclasses import dataclass
from secrets import SystemRandom
from typing import Self

_random = SystemRandom()
_GROWTH = 2


@dataclass(frozen=True)
class Backoff:
    """Delay in seconds by failed attempts; `None` leaves the message to its visibility timeout."""

    base: float | None
    cap: float = 900
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.base is not None and (self.base < 0 or self.cap < self.base):
            raise ValueError(f"need 0 <= base <= cap, got base={self.base}, cap={self.cap}")

    @classmethod
    def exponential(cls, base: float = 1, cap: float = 900, *, jitter: bool = True) -> Self:
        """`base`, 2 x, 4 x ... up to `cap`; with jitter between half of that and all of it."""
        return cls(base, cap, jitter)

    @classmethod
    def immediate(cls) -> Self:
        """Visible again at once."""
        return cls(0, 0, jitter=False)

    @classmethod
    def none(cls) -> Self:
        """Wait out the rest of the visibility timeout."""
        return cls(None)

    def delay(self, failures: int) -> float | None:
        """Seconds before the attempt after so many failed ones."""
        if self.base is None:
            return None
        # Beyond 2**32 every cap is long reached, and floats overflow.
        full = min(self.cap, self.base * _GROWTH ** min(max(failures - 1, 0), 32))
        return _random.uniform(full / 2, full) if self.jitter else full


def whole_seconds(delay: float) -> int:
    """SQS takes whole seconds; rounded up, so that nothing comes back early."""
    return math.ceil(max(delay, 0))
