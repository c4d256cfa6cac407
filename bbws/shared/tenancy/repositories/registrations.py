"""Mailed links, `TOKEN#{sha256} | METADATA`, and what an e-mail has asked for, `REGISTRATION#{email} | METADATA`.

Both are forgotten by time to live. An e-mail's item says when a link was asked for last (`askedAt`), who is following
one (`claimedUntil`), and when one was used last (`usedAt`): no link that was mailed before works after that.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bbws.shared.clock import iso
from bbws.shared.contracts.tenancy.registrations import MailedLink
from bbws.shared.contracts.tenancy.tenants import normal_email
from bbws.shared.core.items import item_of, model_of
from bbws.shared.dynamo.database import ConditionFailed, Database, Delete, Key, Put, Update, Write
from bbws.shared.dynamo.keys import METADATA, TENANTS

# Longer than any link lives: what was used before must not be forgotten while an older link still counts.
KEPT = timedelta(days=3)


class AskedAlready(Exception):
    """A link was mailed to this address a moment ago."""


class LinkTaken(Exception):
    """Somebody is following a link of this address at this moment, or has used one meanwhile."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Whoever holds it may use the link until the lease ends."""

    link: MailedLink
    until: datetime


class RegistrationRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def asked(self, email: str, *, now: datetime, quiet_since: datetime) -> Update:
        """Raises AskedAlready in its transaction when the address has asked after `quiet_since`."""
        return Update(
            TENANTS,
            _key_of_email(email),
            {"askedAt": iso(now), "expiresAt": _epoch(now + KEPT)},
            condition="attribute_not_exists(askedAt) OR askedAt <= :quietSince",
            values={":quietSince": iso(quiet_since)},
            conflict=AskedAlready(),
        )

    async def keep_link(self, link: MailedLink) -> None:
        """The link works from now on."""
        ttl = _epoch(link.valid_until)
        await self._database.write(Put(TENANTS, item_of(link, _key_of_link(link.token_hash), expiresAt=ttl)))

    async def find_link(self, token_hash: str) -> MailedLink | None:
        """None also for a link that was mailed before another one of the same address was used."""
        item = await self._database.find(TENANTS, _key_of_link(token_hash))
        if item is None:
            return None
        link = model_of(MailedLink, item)
        of_email = await self._database.find(TENANTS, _key_of_email(link.email)) or {}
        return None if of_email.get("usedAt", "") >= iso(link.mailed_at) else link

    def claimed(self, claim: Claim, *, now: datetime) -> Update:
        """Raises LinkTaken in its transaction while somebody else holds the address, or has used a later link."""
        return Update(
            TENANTS,
            _key_of_email(claim.link.email),
            {"claimedUntil": iso(claim.until), "expiresAt": _epoch(now + KEPT)},
            condition="(attribute_not_exists(claimedUntil) OR claimedUntil <= :now) AND "
            "(attribute_not_exists(usedAt) OR usedAt < :mailedAt)",
            values={":now": iso(now), ":mailedAt": iso(claim.link.mailed_at)},
            conflict=LinkTaken(),
        )

    async def release(self, claim: Claim) -> None:
        """The link can be followed again at once; a claim that somebody else took over stays."""
        release = self._update_of_claim(claim, {"claimedUntil": None})
        with suppress(ConditionFailed, LinkTaken):
            await self._database.write(release)

    def used(self, claim: Claim, *, now: datetime) -> list[Write]:
        """The link is gone, and with it every other that was mailed to its address. Raises LinkTaken in its
        transaction when the lease has ended and somebody else has the claim."""
        gone = Delete(
            TENANTS, _key_of_link(claim.link.token_hash), condition="attribute_exists(PK)", conflict=LinkTaken()
        )
        changes = {"usedAt": iso(now), "claimedUntil": None, "expiresAt": _epoch(now + KEPT)}
        return [gone, self._update_of_claim(claim, changes)]

    def _update_of_claim(self, claim: Claim, changes: dict[str, Any]) -> Update:
        return Update(
            TENANTS,
            _key_of_email(claim.link.email),
            changes,
            condition="claimedUntil = :mine",
            values={":mine": iso(claim.until)},
            conflict=LinkTaken(),
        )


def _key_of_email(email: str) -> Key:
    return f"REGISTRATION#{normal_email(email)}", METADATA


def _key_of_link(token_hash: str) -> Key:
    return f"TOKEN#{token_hash}", METADATA


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())
