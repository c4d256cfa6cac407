"""A clock that a test moves."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.support.builders import PAID_AT


@dataclass
class HandClock:
    """Give it where a `Clock` is wanted; it stands still until it is moved."""

    now: datetime = PAID_AT

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by
