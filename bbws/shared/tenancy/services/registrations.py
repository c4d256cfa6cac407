"""New customers: a tenant for an e-mail that is not known, and for every e-mail a mail with a link.

Whoever asks learns nothing: the answer is the same whether the e-mail or the organisation is known or not, and what
there is to say is said in the mail. An organisation that has a tenant is left out of the new one; its name in the mail
of somebody else would be a way to send anybody any text.
"""

import secrets
from datetime import datetime, timedelta
from functools import partial

from bbws.shared.addresses import REGISTRATION_PAGE
from bbws.shared.clock import Clock
from bbws.shared.contracts.base import normal_name
from bbws.shared.contracts.documents import RegistrationMail, Situation
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.sales.invoices import Seller
from bbws.shared.contracts.tenancy.registrations import MailedLink, hash_of
from bbws.shared.contracts.tenancy.tenant_events import RegistrationData, RegistrationRequested, TenantCreated
from bbws.shared.contracts.tenancy.tenants import Registration, Tenant
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.mail_claims import mail_of_event
from bbws.shared.core.mailing import Content, Mail, Mailer
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.database import Database, Write
from bbws.shared.dynamo.retries import retry_lost_race
from bbws.shared.errors import Conflict
from bbws.shared.ids import derived_id, new_id
from bbws.shared.integrations.mail import ascii_address
from bbws.shared.logging import get_logger
from bbws.shared.settings import Settings
from bbws.shared.tenancy.changes import event_of, link_requested
from bbws.shared.tenancy.repositories.registrations import AskedAlready, RegistrationRepository
from bbws.shared.tenancy.repositories.tenants import TenantExists, TenantRepository

SELF_REGISTERED = "registration"
MAIL_KIND = "registration_customer"
LINK_LIFETIME = timedelta(hours=24)
# Anybody can ask for a mail to anybody's address; more often than this nobody gets one.
QUIET_FOR = timedelta(minutes=2)
# A repeat that comes later than any redelivery or redrive of its message sends the mail again.
MAIL_KEPT = timedelta(days=30)
_TOKEN_BYTES = 32

log = get_logger(__name__)


class Registrations:
    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        audit: AuditEntries,
        clock: Clock,
        mailer: Mailer,
        settings: Settings,
        seller: Seller,
    ) -> None:
        self._registrations = RegistrationRepository(database)
        self._tenants = TenantRepository(database)
        self._outbox = outbox
        self._audit = audit
        self._clock = clock
        self._mailer = mailer
        self._settings = settings
        self._seller = seller

    async def request(self, registration: Registration, *, tenant_id: str) -> None:
        """A link is on its way to the e-mail, unless one was within `QUIET_FOR`; a new e-mail has a tenant now.

        `tenant_id` is the id of the tenant, should one be made.
        """
        await self._requested(registration, tenant_id)

    async def for_customer(self, registration: Registration) -> Tenant:
        """The customer's tenant: the one with this e-mail, or a new one, whose link is on its way."""
        known = await self._tenants.find_by_email(registration.email)
        return known or await self._requested(registration, new_id())

    async def mail_link(self, event: RegistrationRequested) -> None:
        """The link is mailed; a repeat sends none. Raises MailUnderWay while another process is at it.

        Each sending makes a token of its own, which exists in the mail and nowhere else. Raises NotFound for a tenant
        that never was, Conflict where a registration is for another address than the tenant's.
        """
        tenant = await self._tenants.get(event.tenantid)
        if tenant.status == "DELETED":
            log.info("no link is mailed: the tenant is gone", tenant_id=event.tenantid)
            return
        if event.data.purpose == "REGISTRATION" and event.data.email != tenant.email:
            # Whoever follows the link becomes the owner. Invited users are looked for when they follow theirs.
            raise Conflict(f"{event.type} is for an address that is not the one of tenant {tenant.id}")
        mail = Mail(
            kind=MAIL_KIND,
            place=mail_of_event(event.id, self._clock() + MAIL_KEPT),
            recipients=(ascii_address(event.data.email),),
            headers={"X-Entity-Ref-ID": derived_id("mail", event.id, MAIL_KIND)},
            tags={"tenant": tenant.id, "kind": MAIL_KIND},
        )
        await self._mailer.send_once(mail, partial(self._letter, event.data, tenant))

    async def _requested(self, registration: Registration, tenant_id: str) -> Tenant:
        async def attempt() -> Tenant:
            known = await self._tenants.find_by_email(registration.email)
            tenant = known or await self._new_tenant(registration, tenant_id)
            await self._commit(tenant, registration, is_new=known is None)
            return tenant

        # Somebody else may take the e-mail or the organisation at this moment: then it is known.
        return await retry_lost_race(attempt, Conflict, TenantExists)

    async def _commit(self, tenant: Tenant, registration: Registration, *, is_new: bool) -> None:
        now = self._clock()
        writes: list[Write] = [*self._tenants.new(tenant), self._entry("TENANT_CREATED", tenant)] if is_new else []
        events: list[Envelope] = [event_of(TenantCreated, tenant)] if is_new else []
        asked = self._registrations.asked(registration.email, now=now, quiet_since=now - QUIET_FOR)
        requested = self._entry("REGISTRATION_REQUESTED", tenant)
        try:
            await self._outbox.commit([asked, *writes, requested], [*events, _wish(registration, tenant, now)])
        except AskedAlready:
            # The address has had its mail; whoever orders with it still needs a tenant.
            if is_new:
                await self._outbox.commit(writes, events)

    async def _belongs_to_another(self, organization: str | None, tenant: Tenant) -> bool:
        if organization is None or normal_name(organization) == normal_name(tenant.organization_name or ""):
            return False
        return await self._tenants.organization_is_taken(organization)

    async def _new_tenant(self, registration: Registration, tenant_id: str) -> Tenant:
        name, now = registration.organization_name, self._clock()
        is_taken = name is not None and await self._tenants.organization_is_taken(name)
        return Tenant(
            id=tenant_id,
            email=registration.email,
            organization_name=None if is_taken else name,
            date_created=now,
            date_last_updated=now,
            last_updated_by=SELF_REGISTERED,
        )

    def _entry(self, action: str, tenant: Tenant) -> Write:
        after = tenant if action == "TENANT_CREATED" else None
        subject = f"tenants/{tenant.id}"
        return self._audit.entry(action, tenant_id=tenant.id, subject=subject, actor=SELF_REGISTERED, after=after)

    async def _letter(self, asked: RegistrationData, tenant: Tenant) -> Content:
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), self._clock()
        link = MailedLink(
            token_hash=hash_of(token),
            tenant_id=tenant.id,
            email=asked.email,
            purpose=asked.purpose,
            mailed_at=now,
            valid_until=now + LINK_LIFETIME,
        )
        await self._registrations.keep_link(link)
        return Content(
            RegistrationMail(
                situation=_situation(asked, tenant),
                email=asked.email,
                organization_name=asked.organization_name if asked.purpose == "INVITATION" else None,
                organization_is_taken=await self._belongs_to_another(asked.organization_name, tenant),
                link_url=f"{self._settings.public_base_url}{REGISTRATION_PAGE}?token={token}",
                valid_until=link.valid_until,
                seller=self._seller,
            )
        )


def _situation(asked: RegistrationData, tenant: Tenant) -> Situation:
    if asked.purpose == "INVITATION":
        return "INVITED"
    return "KNOWN" if tenant.registration_status == "REGISTERED" else "NEW"


def _wish(registration: Registration, tenant: Tenant, now: datetime) -> RegistrationRequested:
    data = RegistrationData(
        # As the tenant has it: whoever follows the link must have the tenant's own mailbox.
        email=tenant.email,
        purpose="REGISTRATION",
        organization_name=registration.organization_name,
    )
    return link_requested(data, tenant, now)
