"""Two who decide on the same version of an item, and write one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from bbws.shared.dynamo.database import Database, Put, Write


@dataclass(frozen=True)
class Race:
    """What `stands`, what somebody else writes `first`, and what is written `second` by who read what stood."""

    stands: Sequence[Write]
    first: Sequence[Write]
    second: Sequence[Write]
    lost: type[Exception]

    async def run(self, database: Database) -> None:
        """The second hears that it lost, and has changed nothing."""
        for writes in (self.stands, self.first):
            if writes:
                await database.transact(writes)
        places = [_place_of(write) for write in (*self.stands, *self.first, *self.second)]
        before = [await database.find(*place) for place in places]
        with pytest.raises(self.lost):
            await database.transact(self.second)
        assert [await database.find(*place) for place in places] == before


def _place_of(write: Write) -> tuple[str, tuple[str, str]]:
    key = (write.item["PK"], write.item["SK"]) if isinstance(write, Put) else write.key
    return write.table, key
