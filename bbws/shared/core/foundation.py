"""What the services of every area are made of; a process has one of each."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from bbws.shared.clock import Clock
from bbws.shared.contracts.sales.invoices import Seller
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.audit_entries import AuditRepository
from bbws.shared.core.idempotency import IdempotencyKeys
from bbws.shared.core.mailing import Mailer
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.database import Database
from bbws.shared.dynamo.keys import ORDERS, TENANTS
from bbws.shared.integrations.cognito import UserDirectory
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.integrations.event_bus import EventBus
from bbws.shared.integrations.mail import MailTransport
from bbws.shared.integrations.payfast import Payfast
from bbws.shared.integrations.payfast_sources import SourceCheck
from bbws.shared.integrations.pdf import PdfRenderer
from bbws.shared.integrations.queues import Queues
from bbws.shared.integrations.tokens import TokenVerifier
from bbws.shared.settings import Settings
from bbws.shared.templating import Templates
from bbws.shared.topology import Topology


@dataclass(frozen=True, kw_only=True, eq=False)
class Foundation:
    """Areas extend it by their services (`tenancy/wiring.py` and its like); each is made when it is first asked
    for."""

    settings: Settings
    clock: Clock
    topology: Topology
    database: Database
    event_bus: EventBus
    queues: Queues
    document_store: DocumentStore
    templates: Templates
    mail_transport: MailTransport
    pdf: PdfRenderer
    payfast: Payfast
    payfast_sources: SourceCheck
    directory: UserDirectory
    tokens: TokenVerifier

    @cached_property
    def outbox(self) -> Outbox:
        """Of what is written to `orders`."""
        return self._outbox_in(ORDERS)

    @cached_property
    def tenant_outbox(self) -> Outbox:
        """Of what is written to `bbws-tenants`."""
        return self._outbox_in(TENANTS)

    @cached_property
    def audit_entries(self) -> AuditEntries:
        return AuditEntries(AuditRepository(self.database), self.clock)

    @cached_property
    def idempotency(self) -> IdempotencyKeys:
        return IdempotencyKeys(self.database, self.clock)

    @cached_property
    def mailer(self) -> Mailer:
        return Mailer(self.database, self.clock, self.settings, self.templates, self.mail_transport)

    @cached_property
    def seller(self) -> Seller:
        return Seller(
            name=self.settings.seller_name,
            address=self.settings.seller_address,
            vat_number=self.settings.seller_vat_number,
            email=self.settings.seller_email,
        )

    def _outbox_in(self, table: str) -> Outbox:
        grace = timedelta(seconds=self.settings.outbox_grace_s)
        return Outbox(self.database, self.event_bus, self.clock, table=table, grace=grace)
