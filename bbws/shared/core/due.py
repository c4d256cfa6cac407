"""Work that is due at a moment, in one form: an item waits in `DueIndex` as long as it has `dueKey` and `dueAt`.

A repository says what waits (`_SEALS = DueWork(TENANTS, "SEAL")`), marks its items with `at`, and lists what is due; a
service does `each` of it, from a loop of the housekeeping consumer. What only one process may do at a time is first
`taken`: put off until its lease ends, by whoever saw it due.
"""

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

from bbws.shared.clock import iso
from bbws.shared.core.items import BrokenItem, ModelT, model_of
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Key, Update
from bbws.shared.errors import Unavailable
from bbws.shared.logging import get_logger

# So a busy moment is not one partition of the index.
SHARDS = 4
# What takes an item out of the index.
DONE: Mapping[str, None] = MappingProxyType({"dueKey": None, "dueAt": None})
_INDEX = "DueIndex"

log = get_logger(__name__)

T = TypeVar("T")


class TakenAlready(Exception):
    """Somebody else took the item, or put it off, since it was seen to be due."""


@dataclass(frozen=True, slots=True)
class DueWork:
    """`kind` names the work in the index: it waits in partitions `{kind}#{n}`, or in `{kind}` where it has but one."""

    table: str
    kind: str
    shards: int = SHARDS

    def at(self, identity: str, moment: datetime | None) -> dict[str, str | None]:
        """The attributes of an item that is due then; of the same identity in the same partition. None: not due."""
        return {"dueKey": self._shard_of(identity), "dueAt": iso(moment)} if moment else dict(DONE)

    async def list_due(self, database: Database, now: datetime) -> list[Item]:
        """All that is due, the oldest of each partition first; the index lags a moment behind the table."""
        return [item async for page in self.pages(database, now) for item in page]

    async def pages(self, database: Database, now: datetime) -> AsyncIterator[list[Item]]:
        """As `list_due`, for what may be much."""
        for shard in self._shards():
            until = ("dueAt", iso(now))
            async for page in database.pages(self.table, ("dueKey", shard), index=_INDEX, up_to=until):
                yield page

    def taken(self, key: Key, seen: str, until: datetime, **changes: Any) -> Update:
        """The item is due again at `until`; up to then it is left to who wrote this. `seen` is its `dueAt` as listed.

        Raises TakenAlready.
        """
        return Update(
            self.table,
            key,
            {"dueAt": iso(until), **changes},
            condition="dueAt = :seen",
            values={":seen": seen},
            conflict=TakenAlready(self.kind),
        )

    def _shards(self) -> list[str]:
        return [self.kind] if self.shards == 1 else [f"{self.kind}#{shard}" for shard in range(self.shards)]

    def _shard_of(self, identity: str) -> str:
        return self._shards()[zlib.crc32(identity.encode()) % self.shards]


def readable(kind: type[ModelT], due: Iterable[Item]) -> list[ModelT]:
    """What this version can read of it. The rest is logged, stays due, and keeps no other waiting."""
    found = []
    for item in due:
        try:
            found.append(model_of(kind, item))
        except BrokenItem as error:
            log.error("due work cannot be read", reason=error.detail)  # noqa: TRY400 - the text says all
    return found


async def each(due: Iterable[T], do: Callable[[T], Awaitable[int]], *, name: Callable[[T], str]) -> int:
    """Has each done; returns the sum of what `do` says was done. What somebody else took is left to them.

    One that fails for a reason of its own is logged, stays due, and keeps no other waiting. Raises Unavailable at the
    first sign of an outage: the next would only wait for the same time-out.
    """
    done = 0
    for thing in due:
        try:
            done += await do(thing)
        except TakenAlready:
            continue
        except Unavailable:
            raise
        except Exception:
            log.exception("due work failed", work=getattr(do, "__qualname__", ""), name=name(thing))
    return done
