"""Payment notices (PayFast's ITNs), in `orders`: beside the order that a signed one is about, else in a partition of
their day, so that somebody who forges notices cannot fill an order's partition."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from bbws.shared.clock import iso
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.core.due import DONE, DueWork, readable
from bbws.shared.core.items import item_of, model_of
from bbws.shared.core.tenant_items import OrderItems, Purge, StoredItem
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import ConditionFailed, Database, Key, Put, Update, Write
from bbws.shared.dynamo.keys import METADATA, ORDERS
from bbws.shared.errors import NotYet

_UNJUDGED = DueWork(ORDERS, "ITN")
# A notice that nobody has judged yet is needed as it came; judging takes as long as PayFast is out of reach.
_NEEDED_FOR_S = 60.0
_UNDECIDED = "#state IN (:received, :unverified)"
_UNDECIDED_VALUES = {":received": "RECEIVED", ":unverified": "UNVERIFIED"}


def _without_payer(stored: StoredItem, _purge: Purge) -> Write | None:
    """PayFast's notice names the payer; what was judged of it is said by its other fields."""
    if "dueKey" in stored.item:
        raise NotYet("a payment notice of this tenant is not judged yet", _NEEDED_FOR_S)
    return Update(stored.table, stored.key, {"rawBody": ""}) if stored.item["rawBody"] else None


_OF_ORDERS = OrderItems(ORDERS, "ITN", _without_payer)
KINDS = (_OF_ORDERS,)


class AlreadyConfirmed(Exception):
    """Another notice said the same of the same payment before."""


class AlreadyDecided(Exception):
    """Another process judged this notice meanwhile."""


class PaymentNoticeRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, notice: PaymentNotice, due_at: datetime) -> PaymentNotice:
        """The notice is stored, to be judged; returns what was stored before where the very same body came again."""
        item = item_of(notice, _key(notice), **_UNJUDGED.at(notice.sha256, due_at))
        try:
            await self._database.write(Put(ORDERS, item))
        except ConditionFailed:
            before = await self._database.find(ORDERS, _key(notice))
            return model_of(PaymentNotice, before) if before else notice
        return notice

    async def store_refused(self, notice: PaymentNotice, expires_at: datetime) -> None:
        """What was refused on sight is kept for a while, in one write; the first of the same body stays."""
        item = item_of(notice, _key(notice), expiresAt=int(expires_at.timestamp()))
        with suppress(ConditionFailed):
            await self._database.write(Put(ORDERS, item))

    async def list_due(self, now: datetime) -> list[PaymentNotice]:
        """Those that are not decided and whose next check is due."""
        return readable(PaymentNotice, await _UNJUDGED.list_due(self._database, now))

    async def reopen(self, notice: PaymentNotice, due_at: datetime) -> None:
        """A rejected notice is to be judged again, with the source it names now; raises AlreadyDecided elsewhere."""
        changes = {
            "state": "RECEIVED",
            "sourceAddress": notice.source_address,
            "reason": None,
            **_UNJUDGED.at(notice.sha256, due_at),
        }
        await self._database.write(
            Update(
                ORDERS,
                _key(notice),
                changes,
                condition="#state = :rejected",
                names={"#state": "state"},
                values={":rejected": "REJECTED"},
                conflict=AlreadyDecided(notice.sha256),
            )
        )

    def decided(self, notice: PaymentNotice) -> Update:
        """Keeps the judgement, once; raises AlreadyDecided where there is one."""
        return self._judged(notice, DONE)

    def postponed(self, notice: PaymentNotice, due_at: datetime) -> Update:
        return self._judged(notice, _UNJUDGED.at(notice.sha256, due_at))

    def guard(self, notice: PaymentNotice, statement: str) -> Put:
        """Holds what is said of a payment (`pf_payment_id` and status), so that it counts once."""
        item: Item = {
            "PK": f"UNIQUE#ITN#{statement}",
            "SK": METADATA,
            "sha256": notice.sha256,
            "paymentId": notice.payment_id,
        }
        return Put(ORDERS, item, conflict=AlreadyConfirmed(statement))

    def _judged(self, notice: PaymentNotice, due: Mapping[str, str | None]) -> Update:
        judged = notice.model_dump(mode="json", include=_JUDGEMENT, exclude_none=True)
        return Update(
            ORDERS,
            _key(notice),
            {**judged, **due},
            condition=_UNDECIDED,
            names={"#state": "state"},
            values=_UNDECIDED_VALUES,
            conflict=AlreadyDecided(notice.sha256),
        )


_JUDGEMENT = {"state", "reason", "flags", "payment_id", "decided_at", "checks"}


def _key(notice: PaymentNotice) -> Key:
    if notice.tenant_id and notice.order_id:
        return _OF_ORDERS.key(notice.tenant_id, notice.order_id, notice.sha256)
    return f"ITN#{iso(notice.received_at)[:10]}", f"ITN#{notice.sha256}"
