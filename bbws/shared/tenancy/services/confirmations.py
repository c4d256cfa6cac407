"""Following a mailed link: the address is proven, its user gets a password, and a new tenant gets its owner.

What a crash or an outage leaves, by the last step that was done:

1. Claimed, in one transaction with UNVALIDATED to VALIDATED: the same link works again after `LEASE`, a new one too.
2. The user stands in the pool, with or without the password: as after 1; the next try finds the user and sets the
   password anew.
3. Used, in one transaction with the OWNER and VALIDATED to REGISTERED: done. Only the answer may be lost; the customer
   can sign in, and the link says that it was used.

What the pool refuses (a password) or an outage gives the claim back at once: the link is used with success only.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from bbws.shared.addresses import REGISTRATIONS
from bbws.shared.clock import Clock
from bbws.shared.contracts.tenancy.registrations import Confirmation, MailedLink, hash_of
from bbws.shared.contracts.tenancy.tenant_events import TenantUpdated
from bbws.shared.contracts.tenancy.tenants import RegistrationStatus, Tenant, normal_email
from bbws.shared.contracts.tenancy.users import UserAssignment
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.database import Database, Put, Write
from bbws.shared.dynamo.retries import retry_lost_race
from bbws.shared.errors import Conflict, FieldError, Invalid, Unavailable
from bbws.shared.integrations.cognito import DEPENDENCY, DirectoryUser, UserDirectory
from bbws.shared.logging import get_logger
from bbws.shared.tenancy.changes import Change, TenantChanges
from bbws.shared.tenancy.repositories.registrations import Claim, LinkTaken, RegistrationRepository
from bbws.shared.tenancy.repositories.tenants import TenantChanged, TenantRepository
from bbws.shared.tenancy.repositories.users import OwnersChanged, UserAssigned, UserRepository

ACTOR = "registration"
LEASE = timedelta(seconds=30)
# The pool must be done before the lease ends and somebody else may set another password.
POOL_WITHIN_S = 20.0

log = get_logger(__name__)


class LinkDead(Invalid):
    """One answer for a link that was never mailed, was used, or is too old: a guess learns nothing."""

    def __init__(self) -> None:
        detail = f"This link no longer works: it was used, or it is too old. Ask for a new one at {REGISTRATIONS}."
        super().__init__(detail, [FieldError("#/token", "Ask for a new link.")])


@dataclass(frozen=True, slots=True)
class Confirmed:
    tenant: Tenant
    email: str


class Confirmations:
    def __init__(
        self, database: Database, outbox: Outbox, audit: AuditEntries, clock: Clock, directory: UserDirectory
    ) -> None:
        self._registrations = RegistrationRepository(database)
        self._tenants = TenantRepository(database)
        self._changes = TenantChanges(database, outbox, audit, clock)
        self._users = UserRepository(database)
        self._outbox = outbox
        self._audit = audit
        self._clock = clock
        self._directory = directory

    async def link(self, token: str) -> MailedLink:
        """What a token stands for; reading it changes nothing. Raises LinkDead."""
        link = await self._registrations.find_link(hash_of(token))
        if link is None or link.valid_until <= self._clock():
            raise LinkDead
        await self._tenant_of(link)
        return link

    async def confirm(self, confirmation: Confirmation) -> Confirmed:
        """The user of the link's address signs in with this password from now on, and owns the tenant that was new.

        Raises LinkDead; Invalid for a password that the pool refuses; Conflict while somebody else follows the link.
        """
        link = await self.link(confirmation.token)
        claim = Claim(link, self._clock() + LEASE)
        await self._claim(claim)
        try:
            async with asyncio.timeout(POOL_WITHIN_S):
                user = await self._user_with(link, confirmation.password.get_secret_value())
            tenant = await self._finish(claim, user)
        except TimeoutError as error:
            await self._give_back(claim)
            raise Unavailable(DEPENDENCY, f"no answer within {POOL_WITHIN_S:g} s") from error
        except Exception:
            await self._give_back(claim)
            raise
        log.info("link used", tenant_id=tenant.id, user_id=user.user_id, purpose=link.purpose)
        return Confirmed(tenant, link.email)

    async def _claim(self, claim: Claim) -> None:
        async def attempt() -> None:
            tenant = await self._tenant_of(claim.link)
            claimed = self._registrations.claimed(claim, now=self._clock())
            if claim.link.purpose == "REGISTRATION" and tenant.registration_status == "UNVALIDATED":
                await self._advance(tenant, "VALIDATED", ACTOR, [claimed])
            else:
                await self._outbox.commit([claimed], [])

        try:
            await retry_lost_race(attempt, TenantChanged)
        except LinkTaken:
            if await self._registrations.find_link(claim.link.token_hash) is None:
                raise LinkDead from None
            raise Conflict("This link is being used at this moment. Try again in half a minute.") from None

    async def _user_with(self, link: MailedLink, password: str) -> DirectoryUser:
        """Raises LinkDead for an invitation that was taken back."""
        user = await self._directory.find_by_email(link.email)
        if link.purpose == "INVITATION":
            if user is None or await self._users.find(link.tenant_id, user.user_id) is None:
                raise LinkDead
        elif user is None:
            user = await self._directory.create(link.email)
        await self._directory.set_password(user.user_id, password)
        return user

    async def _finish(self, claim: Claim, user: DirectoryUser) -> Tenant:
        """The link is used. A tenant that was new has its owner; in any other one, roles stay as they are."""
        actor = f"user:{user.user_id}"

        async def attempt() -> Tenant:
            tenant, now = await self._tenant_of(claim.link), self._clock()
            used = [*self._registrations.used(claim, now=now), self._entry("REGISTRATION_CONFIRMED", tenant, user)]
            if claim.link.purpose == "INVITATION" or tenant.registration_status == "REGISTERED":
                await self._outbox.commit(used, [])
                return tenant
            return await self._advance(tenant, "REGISTERED", actor, [*used, *self._owner(tenant, user, now)])

        try:
            return await retry_lost_race(attempt, TenantChanged, OwnersChanged, UserAssigned)
        except LinkTaken:
            raise LinkDead from None

    def _owner(self, tenant: Tenant, user: DirectoryUser, now: datetime) -> list[Write]:
        owner = UserAssignment(
            tenant_id=tenant.id,
            user_id=user.user_id,
            email=user.email,
            role="OWNER",
            date_created=now,
            date_last_updated=now,
            last_updated_by=f"user:{user.user_id}",
        )
        counted = self._users.owners_counted(tenant.id, 0, 1)
        return [self._users.new(owner), counted, self._entry("USER_ASSIGNED", tenant, user, owner)]

    def _entry(self, action: str, tenant: Tenant, user: DirectoryUser, after: UserAssignment | None = None) -> Put:
        subject = f"tenants/{tenant.id}/users/{user.user_id}"
        actor = f"user:{user.user_id}"
        return self._audit.entry(action, tenant_id=tenant.id, subject=subject, actor=actor, after=after)

    async def _advance(self, tenant: Tenant, status: RegistrationStatus, actor: str, writes: list[Write]) -> Tenant:
        """The tenant one step further, in one transaction with `writes`."""
        change = Change({"registration_status": status}, TenantUpdated)
        advanced = self._changes.prepared(tenant, change, actor=actor, action=TenantUpdated.TYPE)
        await self._outbox.commit([*writes, *advanced.writes], advanced.events)
        return advanced.tenant

    async def _tenant_of(self, link: MailedLink) -> Tenant:
        """Raises LinkDead where the tenant is gone, or has another e-mail by now."""
        tenant = await self._tenants.find(link.tenant_id)
        if tenant is None or tenant.status == "DELETED":
            raise LinkDead
        if link.purpose == "REGISTRATION" and normal_email(tenant.email) != normal_email(link.email):
            raise LinkDead
        return tenant

    async def _give_back(self, claim: Claim) -> None:
        # Where the table is out of reach the lease does the same, only later.
        with suppress(Unavailable):
            await self._registrations.release(claim)
