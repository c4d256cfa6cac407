"""`EMAIL#{kind}` beside what a mail is about: whether it is being sent or was (C-38)."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from bbws.shared.clock import iso
from bbws.shared.core.tenant_items import OrderItems, Purge, StoredItem
from bbws.shared.dynamo.database import ConditionFailed, Database, Key, Put, Update, Write
from bbws.shared.dynamo.keys import METADATA, ORDERS, TENANTS


def _without_recipients(stored: StoredItem, _purge: Purge) -> Write | None:
    return Update(stored.table, stored.key, {"recipients": None}) if "recipients" in stored.item else None


_OF_ORDERS = OrderItems(ORDERS, "EMAIL", _without_recipients)
KINDS = (_OF_ORDERS,)


@dataclass(frozen=True, slots=True)
class MailPlace:
    """Where it stands whether a mail was sent; DynamoDB forgets it at `forgotten_at`, where that is given."""

    table: str
    key: Key
    forgotten_at: datetime | None = None


def mail_of_order(tenant_id: str, order_id: str, kind: str) -> MailPlace:
    return MailPlace(ORDERS, _OF_ORDERS.key(tenant_id, order_id, kind))


def mail_of_event(event_id: str, forgotten_at: datetime) -> MailPlace:
    """For a mail that follows an event and belongs to nothing that stays."""
    return MailPlace(TENANTS, (f"EMAIL#{event_id}", METADATA), forgotten_at)


@dataclass(frozen=True, slots=True)
class MailRecord:
    sent: bool
    lease_until: str

    def lease_left_s(self, now: datetime) -> float:
        return (datetime.fromisoformat(self.lease_until) - now).total_seconds()


class MailRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, place: MailPlace) -> MailRecord | None:
        item = await self._database.find(place.table, place.key)
        return MailRecord(item["state"] == "SENT", item["leaseUntil"]) if item else None

    async def claim(self, place: MailPlace, kind: str, *, now: datetime, lease_until: datetime) -> bool:
        """True: this process may send it, until the lease ends. False: sent, or another one is at it."""
        partition, sort = place.key
        forgotten = {"expiresAt": int(place.forgotten_at.timestamp())} if place.forgotten_at else {}
        claim = Put(
            place.table,
            {
                "PK": partition, "SK": sort, "kind": kind, "state": "SENDING",
                "leaseUntil": iso(lease_until), "dateCreated": iso(now), **forgotten,
            },
            condition="attribute_not_exists(PK) OR (#state = :sending AND leaseUntil <= :now)",
            names={"#state": "state"},
            values={":sending": "SENDING", ":now": iso(now)},
        )  # fmt: skip
        try:
            await self._database.write(claim)
        except ConditionFailed:
            return False
        return True

    async def release(self, place: MailPlace, *, now: datetime, lease_until: datetime) -> None:
        """Nothing was sent: whoever comes next may try at once. A lease that another process took over stays."""
        release = Update(
            place.table,
            place.key,
            {"leaseUntil": iso(now)},
            condition="leaseUntil = :mine",
            values={":mine": iso(lease_until)},
        )
        with suppress(ConditionFailed):
            await self._database.write(release)

    async def sent(self, place: MailPlace, *, message_id: str, recipients: str, now: datetime) -> None:
        changes = {"state": "SENT", "messageId": message_id, "recipients": recipients, "sentAt": iso(now)}
        await self._database.write(Update(place.table, place.key, changes))
