"""State and its events are committed together; what a crash leaves unsent, housekeeping sends (C-25).

Rows `OUTBOX#{shard} | {event id}` stand in the table of the state. The committing process publishes at once; a row
that is still due after the grace period is published by `sweep`. A crash between publishing and marking publishes
twice, which consumers accept; the other order would lose the event.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from bbws.shared.clock import Clock, iso
from bbws.shared.contracts.envelope import MAX_EVENT_BYTES, Envelope
from bbws.shared.contracts.events import EVENTS
from bbws.shared.core.due import DONE, DueWork, each
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Put, Update, Write
from bbws.shared.errors import Rejected, Unavailable
from bbws.shared.integrations.event_bus import EventBus
from bbws.shared.logging import get_logger

# A published row is kept this long to answer "was it sent?", then DynamoDB deletes it.
KEPT_AFTER_PUBLISHING = timedelta(days=7)

log = get_logger(__name__)


class Outbox:
    def __init__(self, database: Database, bus: EventBus, clock: Clock, *, table: str, grace: timedelta) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._table = table
        self._grace = grace
        self._unpublished = DueWork(table, "OUTBOX")

    async def commit(self, writes: Sequence[Write], events: Sequence[Envelope]) -> None:
        """Writes and events are stored, or neither is; then the events are published, now or by housekeeping.

        Raises Rejected for an event that EventBridge would refuse, before anything is stored.
        """
        rows = [self._row(event) for event in events]
        await self._database.transact([*writes, *(Put(self._table, row) for row in rows)])
        for row in rows:
            with suppress(Unavailable):
                await self._publish_or_leave(row)

    async def sweep(self) -> int:
        """Publish every row that is due; returns how many. Rows that another process just took are left to it.

        Raises Unavailable at the first sign of an outage: the next rows would only wait for the same time-out.
        """
        due = await self._unpublished.list_due(self._database, self._clock())
        return await each(due, self._take_and_publish, name=lambda row: str(row["SK"]))

    async def _take_and_publish(self, row: Item) -> bool:
        later, attempts = self._clock() + self._grace, row["attempts"] + 1
        await self._database.write(self._unpublished.taken(_key(row), row["dueAt"], later, attempts=attempts))
        return await self._publish_or_leave(row)

    async def _publish_or_leave(self, row: Item) -> bool:
        """A row that this version cannot read waits for one that can, and keeps no other row waiting.

        Raises Unavailable when bus or table are out; the row stays.
        """
        try:
            event = _event(row)
            await self._bus.publish(event, row["envelope"].encode())
            await self._mark(row)
        except Unavailable as error:
            log.warning("event stays in the outbox", event_id=row["SK"], schema=row["schema"], reason=str(error))
            raise
        except Exception as error:  # noqa: BLE001 - the state is committed: whatever went wrong, housekeeping tries again
            log.warning("event stays in the outbox", event_id=row["SK"], schema=row["schema"], reason=str(error))
            return False
        log.info("event published", event_id=event.id, event_type=event.type, correlation_id=event.correlationid)
        return True

    async def _mark(self, row: Item) -> None:
        now = self._clock()
        changes: dict[str, Any] = {
            **DONE,
            "publishedAt": iso(now),
            "expiresAt": int((now + KEPT_AFTER_PUBLISHING).timestamp()),
        }
        await self._database.write(Update(self._table, _key(row), changes))

    def _row(self, event: Envelope) -> Item:
        body = event.to_json()
        if len(body) > MAX_EVENT_BYTES:
            raise Rejected(f"{event.type} has {len(body)} bytes; EventBridge takes {MAX_EVENT_BYTES}")
        due = self._unpublished.at(event.id, self._clock() + self._grace)
        return {
            "PK": due["dueKey"],
            "SK": event.id,
            **due,
            "attempts": 0,
            "schema": event.schema_urn(),
            "envelope": body.decode(),
        }


def _key(row: Item) -> tuple[str, str]:
    return row["PK"], row["SK"]


def _event(row: Item) -> Envelope:
    return EVENTS[row["schema"]].model_validate_json(row["envelope"])
