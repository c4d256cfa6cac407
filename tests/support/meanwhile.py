"""Somebody else who acts at the worst moment: a race that comes out the same each time."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from bbws.shared.dynamo.database import Database, Write


def _any_write(_: Write) -> bool:
    return True


@contextmanager
def meanwhile(act: Callable[[], Awaitable[Any]], *, before: Callable[[Write], bool] = _any_write) -> Iterator[None]:
    """What is called inside reads and decides; `act` is done by somebody else, and only then it writes.

    `before` picks the write, the first of all unless it is given; a test whose code never comes to it fails.
    """
    has_begun = False

    async def act_before(writes: Sequence[Write]) -> None:
        nonlocal has_begun
        if not has_begun and any(map(before, writes)):
            has_begun = True
            await act()

    write, transact = Database.write, Database.transact

    async def written(database: Database, one: Write) -> None:
        await act_before([one])
        await write(database, one)

    async def transacted(database: Database, writes: Sequence[Write]) -> None:
        await act_before(writes)
        await transact(database, writes)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Database, "write", written)
        patched.setattr(Database, "transact", transacted)
        yield
    assert has_begun, "nobody came to that write, so nobody was in between"
