"""ITNs, in `orders`: beside the order where PayFast really said it of one, else in a partition of their day.

Somebody who forges notices can so fill no order's partition.
"""

from contextlib import suppress
from datetime import datetime
from typing import Any

from bbws.shared.clock import iso
from bbws.shared.contracts.sales.payments import Itn
from bbws.shared.core.due import list_due
from bbws.shared.core.items import item_of, model_of
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import ConditionFailed, Database, Key, Put, Update
from bbws.shared.dynamo.keys import METADATA, ORDERS, order_partition

# Spreads a burst of notices over partitions of the index.
_DUE_SHARDS = 4
_UNDECIDED = "#state IN (:received, :unverified)"
_UNDECIDED_VALUES = {":received": "RECEIVED", ":unverified": "UNVERIFIED"}


class AlreadyTold(Exception):
    """Another ITN said the same of the same payment before."""


class AlreadyDecided(Exception):
    """Another process judged this ITN meanwhile."""


class ItnRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, itn: Itn, due_at: datetime) -> Itn:
        """The ITN is stored, to be judged; returns what was stored before where the very same body came again."""
        item = item_of(itn, _key(itn), dueKey=_due_key(int(itn.sha256, 16) % _DUE_SHARDS), dueAt=iso(due_at))
        try:
            await self._database.write(Put(ORDERS, item))
        except ConditionFailed:
            before = await self._database.find(ORDERS, _key(itn))
            return model_of(Itn, before) if before else itn
        return itn

    async def store_refused(self, itn: Itn, expires_at: datetime) -> None:
        """What was refused on sight is kept for a while, in one write; the first of the same body stays."""
        item = item_of(itn, _key(itn), expiresAt=int(expires_at.timestamp()))
        with suppress(ConditionFailed):
            await self._database.write(Put(ORDERS, item))

    async def list_due(self, now: datetime) -> list[Itn]:
        """Those that are not decided and whose next check is due."""
        due = await list_due(self._database, ORDERS, "ITN", _DUE_SHARDS, now)
        return [model_of(Itn, item) for item in due]

    async def reopen(self, itn: Itn, due_at: datetime) -> None:
        """A rejected ITN is to be judged again, with the source it names now; raises AlreadyDecided elsewhere."""
        changes = {
            "state": "RECEIVED",
            "sourceAddress": itn.source_address,
            "reason": None,
            "dueKey": _due_key(int(itn.sha256, 16) % _DUE_SHARDS),
            "dueAt": iso(due_at),
        }
        await self._database.write(
            Update(
                ORDERS,
                _key(itn),
                changes,
                condition="#state = :rejected",
                names={"#state": "state"},
                values={":rejected": "REJECTED"},
                conflict=AlreadyDecided(itn.sha256),
            )
        )

    def decided(self, itn: Itn) -> Update:
        """Keeps the judgement, once; raises AlreadyDecided where there is one."""
        return self._judged(itn, {"dueKey": None, "dueAt": None})

    def postponed(self, itn: Itn, due_at: datetime) -> Update:
        return self._judged(itn, {"dueAt": iso(due_at)})

    def guard(self, itn: Itn, said: str) -> Put:
        """Holds what was said of a payment (`pf_payment_id` and status), so that it counts once."""
        item: Item = {"PK": f"UNIQUE#ITN#{said}", "SK": METADATA, "sha256": itn.sha256, "paymentId": itn.payment_id}
        return Put(ORDERS, item, conflict=AlreadyTold(said))

    def _judged(self, itn: Itn, extra: dict[str, Any]) -> Update:
        judged = itn.model_dump(mode="json", include=_JUDGEMENT, exclude_none=True)
        return Update(
            ORDERS,
            _key(itn),
            judged | extra,
            condition=_UNDECIDED,
            names={"#state": "state"},
            values=_UNDECIDED_VALUES,
            conflict=AlreadyDecided(itn.sha256),
        )


_JUDGEMENT = {"state", "reason", "flags", "payment_id", "decided_at", "checks"}


def _due_key(shard: int) -> str:
    return f"ITN#{shard}"


def _key(itn: Itn) -> Key:
    sort = f"ITN#{itn.sha256}"
    if itn.tenant_id and itn.order_id:
        return order_partition(itn.tenant_id, itn.order_id), sort
    return f"ITN#{iso(itn.received_at)[:10]}", sort
