"""`EMAIL#{kind}` beside the order: whether a mail of this kind is being sent or was (C-38)."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from bbws.shared.clock import iso
from bbws.shared.dynamo.database import ConditionFailed, Database, Key, Put, Update
from bbws.shared.repositories.orders import TABLE, beside


@dataclass(frozen=True, slots=True)
class MailRecord:
    sent: bool
    lease_until: str

    def lease_left_s(self, now: datetime) -> float:
        return (datetime.fromisoformat(self.lease_until) - now).total_seconds()


class MailRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str, order_id: str, kind: str) -> MailRecord | None:
        item = await self._database.find(TABLE, _key(tenant_id, order_id, kind))
        return MailRecord(item["state"] == "SENT", item["leaseUntil"]) if item else None

    async def claim(self, tenant_id: str, order_id: str, kind: str, *, now: datetime, lease_until: datetime) -> bool:
        """True: this process may send it, until the lease ends. False: sent, or another one is at it."""
        partition, sort = _key(tenant_id, order_id, kind)
        claim = Put(
            TABLE,
            {
                "PK": partition, "SK": sort, "kind": kind, "state": "SENDING",
                "leaseUntil": iso(lease_until), "dateCreated": iso(now),
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

    async def release(self, tenant_id: str, order_id: str, kind: str, *, now: datetime, lease_until: datetime) -> None:
        """Nothing was sent: whoever comes next may try at once. A lease that another process took over stays."""
        release = Update(
            TABLE,
            _key(tenant_id, order_id, kind),
            {"leaseUntil": iso(now)},
            condition="leaseUntil = :mine",
            values={":mine": iso(lease_until)},
        )
        with suppress(ConditionFailed):
            await self._database.write(release)

    async def sent(
        self, tenant_id: str, order_id: str, kind: str, *, message_id: str, recipients: str, now: datetime
    ) -> None:
        changes = {"state": "SENT", "messageId": message_id, "recipients": recipients, "sentAt": iso(now)}
        await self._database.write(Update(TABLE, _key(tenant_id, order_id, kind), changes))


def _key(tenant_id: str, order_id: str, kind: str) -> Key:
    return beside(tenant_id, order_id), f"EMAIL#{kind}"
