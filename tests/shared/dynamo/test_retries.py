"""Races that are run again: as often as they may be lost, and no other error with them."""

import asyncio
import random

import pytest

from bbws.shared.dynamo.retries import retry_lost_race
from bbws.shared.errors import Conflict, Unavailable


class Lost(Exception):
    pass


class LostToo(Exception):
    pass


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda *_: 0)


class Racer:
    """Fails with each of these once, then answers how often it ran."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.runs = 0

    async def __call__(self) -> int:
        self.runs += 1
        if self._errors:
            raise self._errors.pop(0)
        return self.runs


async def test_a_race_that_is_lost_is_run_until_it_is_won() -> None:
    """Ten who change one tenant at a moment are a busy moment, and no error for any of them."""
    assert await retry_lost_race(Racer(*[Lost(), LostToo()] * 5), Lost, LostToo) == 11


async def test_a_race_that_nobody_can_win_is_told_as_unavailable() -> None:
    """None in the place of an answer would look like success."""
    racer = Racer(*[Lost()] * 1000)
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="dynamodb"):
            await retry_lost_race(racer, Lost)
    assert 10 < racer.runs < 1000


async def test_what_is_no_lost_race_leaves_at_once() -> None:
    """A refusal that is asked for twenty times over is a customer who waits for a second to hear it."""
    racer = Racer(Lost(), Conflict("the name is taken"))
    with pytest.raises(Conflict):
        await retry_lost_race(racer, Lost)
    assert racer.runs == 2
