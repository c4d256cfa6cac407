"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): the same request again gets the same answer.

The claim also fixes the id of what the request will create. Where a process dies after creating and before storing
its answer, the retry runs again with the same id, finds what stands there, and creates nothing twice.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from bbws.shared.clock import Clock, iso
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import ConditionFailed, Database, Put, Update
from bbws.shared.dynamo.keys import IDEMPOTENCY
from bbws.shared.errors import Conflict, Invalid
from bbws.shared.ids import new_id

KEPT = timedelta(hours=48)
# Longer than any request takes; after it a crashed request's key may be used again.
LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    """This request is the first one; what it creates gets `resource_id`."""

    key: tuple[str, str]
    resource_id: str
    lease_until: str


class IdempotencyKeys:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, scope: str, key: str, fingerprint: str) -> Begun | StoredAnswer:
        """Claims the key, or gives the answer it got before.

        Raises Conflict while the first request is under way, Invalid when the key was used for another request.
        """
        place = (f"IDEMPOTENCY#{hashlib.sha256(f'{scope}|{key}'.encode()).hexdigest()}", "ANSWER")
        now = self._clock()
        begun = Begun(place, new_id(), iso(now + LEASE))
        try:
            await self._database.write(_claim(begun, fingerprint, now))
        except ConditionFailed:
            return await self._again(begun, fingerprint)
        return begun

    async def finish(self, begun: Begun, answer: StoredAnswer) -> None:
        """The answer is what every repeat gets, for 48 hours."""
        changes = {"status": answer.status, "headers": answer.headers, "body": answer.body, "leaseUntil": None}
        await self._change(begun, changes)

    async def abandon(self, begun: Begun) -> None:
        """The request failed without effect: the next one with this key starts afresh."""
        await self._change(begun, {"leaseUntil": iso(self._clock())})

    async def _again(self, begun: Begun, fingerprint: str) -> Begun | StoredAnswer:
        stored = await self._database.find(IDEMPOTENCY, begun.key)
        if stored is None:
            raise Conflict("a request with this Idempotency-Key is just ending; repeat it")
        if stored["resourceId"] == begun.resource_id:
            # Our own claim: its first answer was lost, and the SDK asked again.
            return begun
        if stored["fingerprint"] != fingerprint:
            raise Invalid("this Idempotency-Key was used for another request; use a new key for a new request")
        if "status" in stored:
            return StoredAnswer(stored["status"], stored["headers"], stored["body"])
        return await self._take_over(begun.key, stored)

    async def _take_over(self, place: tuple[str, str], stored: Item) -> Begun:
        now = self._clock()
        in_progress = Conflict("a request with this Idempotency-Key is under way; repeat it in a moment")
        if stored["leaseUntil"] > iso(now):
            raise in_progress
        begun = Begun(place, stored["resourceId"], iso(now + LEASE))
        await self._database.write(
            Update(
                IDEMPOTENCY,
                place,
                {"leaseUntil": begun.lease_until},
                condition="leaseUntil = :seen",
                values={":seen": stored["leaseUntil"]},
                conflict=in_progress,
            )
        )
        return begun

    async def _change(self, begun: Begun, changes: dict[str, object]) -> None:
        held = Update(
            IDEMPOTENCY, begun.key, changes, condition="leaseUntil = :mine", values={":mine": begun.lease_until}
        )
        try:
            await self._database.write(held)
        except ConditionFailed:
            return  # Somebody took over after the lease; the answer is theirs to store.


def _claim(begun: Begun, fingerprint: str, now: datetime) -> Put:
    item = {
        "PK": begun.key[0],
        "SK": begun.key[1],
        "fingerprint": fingerprint,
        "resourceId": begun.resource_id,
        "leaseUntil": begun.lease_until,
        "expiresAt": int((now + KEPT).timestamp()),
    }
    # DynamoDB deletes expired items within days, not at once.
    gone = "attribute_not_exists(PK) OR expiresAt < :now"
    return Put(IDEMPOTENCY, item, condition=gone, values={":now": int(now.timestamp())})
