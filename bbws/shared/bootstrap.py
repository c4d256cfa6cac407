"""Builds and closes everything a process needs; gateway, consumers and tests call the same function."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
from botocore.exceptions import ClientError

from bbws.shared.aws_errors import cause, reaching
from bbws.shared.clock import Clock, utc_now
from bbws.shared.contracts.sales.invoices import Seller
from bbws.shared.core.audit import AuditTrail
from bbws.shared.core.audit_entries import AuditRepository
from bbws.shared.core.idempotency import IdempotencyKeys
from bbws.shared.core.mailing import Mailer
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.cursor import CursorSigner
from bbws.shared.dynamo.database import Database
from bbws.shared.dynamo.keys import ORDERS, TENANTS
from bbws.shared.errors import Rejected, Unavailable
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.cognito import DEPENDENCY as DIRECTORY
from bbws.shared.integrations.cognito import UserDirectory, UserPool, find_user_pool
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.integrations.event_bus import EventBus
from bbws.shared.integrations.mail import MailFolder, MailTransport, Ses, SesV2
from bbws.shared.integrations.payfast import Payfast
from bbws.shared.integrations.payfast_sources import SourceCheck
from bbws.shared.integrations.pdf import PdfRenderer
from bbws.shared.integrations.queues import Queues
from bbws.shared.integrations.tokens import DEPENDENCY as IDENTITY
from bbws.shared.integrations.tokens import Jwks, TokenVerifier
from bbws.shared.logging import get_logger
from bbws.shared.operating.dead_letter_queues import DeadLetterQueues
from bbws.shared.operating.dead_letters import DeadLetters
from bbws.shared.sales.services.campaigns import Campaigns
from bbws.shared.sales.services.documents import Documents
from bbws.shared.sales.services.invoices import Invoices
from bbws.shared.sales.services.notifications import Notifications
from bbws.shared.sales.services.orders import Orders
from bbws.shared.sales.services.payments import Payments
from bbws.shared.sales.services.products import Products
from bbws.shared.settings import Settings, secret
from bbws.shared.templating import S3Templates, Templates
from bbws.shared.tenancy.services.audits import Audits
from bbws.shared.tenancy.services.confirmations import Confirmations
from bbws.shared.tenancy.services.hierarchies import Hierarchies
from bbws.shared.tenancy.services.operations import Operations
from bbws.shared.tenancy.services.registrations import Registrations
from bbws.shared.tenancy.services.staff import Staff
from bbws.shared.tenancy.services.tenant_records import TenantRecords
from bbws.shared.tenancy.services.tenants import Tenants
from bbws.shared.tenancy.services.users import Users
from bbws.shared.topology import Topology

Ping = Callable[[], Awaitable[None]]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """`pings` asks each dependency whether it answers; the keys are those that `Unavailable.dependency` names."""

    settings: Settings
    clock: Clock
    topology: Topology
    tenants: Tenants
    registrations: Registrations
    confirmations: Confirmations
    tenant_records: TenantRecords
    operations: Operations
    users: Users
    staff: Staff
    hierarchies: Hierarchies
    products: Products
    campaigns: Campaigns
    orders: Orders
    payments: Payments
    invoices: Invoices
    notifications: Notifications
    documents: Documents
    outbox: Outbox
    tenant_outbox: Outbox
    audit: AuditTrail
    audits: Audits
    tokens: TokenVerifier
    directory: UserDirectory
    idempotency: IdempotencyKeys
    queues: Queues
    dead_letters: DeadLetters
    pings: Mapping[str, Ping]


@asynccontextmanager
async def aws_clients(settings: Settings) -> AsyncIterator[AwsClients]:
    async with _clients_of(settings) as clients:
        yield clients


def _clients_of(settings: Settings, endpoint_url: str | None = None) -> AwsClients:
    return AwsClients(
        endpoint_url or settings.aws_endpoint_url,
        settings.aws_region,
        settings.aws_access_key_id,
        secret(settings.aws_secret_access_key),
        secret(settings.aws_session_token),
    )


@asynccontextmanager
async def bootstrap(settings: Settings, *, clock: Clock = utc_now, warm_pdf: bool = False) -> AsyncIterator[Services]:
    """`warm_pdf` starts the PDF workers at once, for a process that draws PDFs all the time."""
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(aws_clients(settings))
        settings = await _with_local_user_pool(await _with_secrets(settings, clients), clients)
        pdf = await stack.enter_async_context(PdfRenderer(settings.pdf_processes, warm=warm_pdf))
        asked_at = settings.payfast_server_url or settings.payfast_url
        server = Payfast(asked_at, timeout_s=settings.payfast_validate_timeout_s)
        await stack.enter_async_context(server)
        jwks = await stack.enter_async_context(_jwks(settings, clock))
        links = await stack.enter_async_context(_clients_of(settings, settings.documents_endpoint_url))
        yield await _services(settings, clock, clients, links, pdf, server, jwks)


async def _services(
    settings: Settings,
    clock: Clock,
    clients: AwsClients,
    links: AwsClients,
    pdf: PdfRenderer,
    server: Payfast,
    jwks: Jwks | None,
) -> Services:
    topology = Topology.for_settings(settings)
    cursors = CursorSigner(settings.cursor_signing_key.get_secret_value())
    database = Database(partial(clients.get, "dynamodb"), cursors)
    bus = EventBus(partial(clients.get, "events"), topology.bus)
    link_client = partial(links.get, "s3")
    store = DocumentStore(partial(clients.get, "s3"), topology.bucket("documents").name, link_client)
    templates = Templates(
        S3Templates(
            await clients.get("s3"),
            topology.bucket("templates").name,
            revalidate_s=settings.template_revalidate_s,
        )
    )
    grace = timedelta(seconds=settings.outbox_grace_s)
    outbox = Outbox(database, bus, clock, table=ORDERS, grace=grace)
    tenant_outbox = Outbox(database, bus, clock, table=TENANTS, grace=grace)
    audit = AuditTrail(AuditRepository(database), clock)
    tokens = TokenVerifier(jwks, settings.cognito_issuer, settings.cognito_client_ids, clock)
    directory = UserDirectory(partial(clients.get, "cognito-idp"), settings.cognito_user_pool_id)
    seller = _seller(settings)
    transport = _transport(settings, clients)
    mailer = Mailer(database, clock, settings, templates, transport)
    audits = Audits(database, audit, clock, settings.audit_keys)
    queues = Queues(partial(clients.get, "sqs"))
    dead_letter_queues = DeadLetterQueues(queues, topology, wait_s=settings.receive_wait_s)
    sources = SourceCheck(settings.payfast_source_ranges, settings.payfast_source_hosts)
    return Services(
        settings=settings,
        clock=clock,
        topology=topology,
        tenants=Tenants(database, tenant_outbox, audit, clock),
        registrations=Registrations(database, tenant_outbox, audit, clock, mailer, settings, seller),
        confirmations=Confirmations(database, tenant_outbox, audit, clock, directory),
        tenant_records=TenantRecords(database, tenant_outbox, audit, clock, store),
        operations=Operations(database),
        users=Users(database, directory, tenant_outbox, audit, clock),
        staff=Staff(database, directory, audit, clock),
        hierarchies=Hierarchies(database, audit, clock),
        products=Products(database, audit, clock),
        campaigns=Campaigns(database, audit, clock),
        orders=Orders(database, audit, clock, settings),
        payments=Payments(database, outbox, audit, clock, settings, server, sources),
        invoices=Invoices(database, outbox, audit, clock, templates, pdf, store, seller),
        notifications=Notifications(mailer, settings, store, seller),
        documents=Documents(database, settings, templates, pdf, seller),
        outbox=outbox,
        tenant_outbox=tenant_outbox,
        audit=audit,
        audits=audits,
        tokens=tokens,
        directory=directory,
        idempotency=IdempotencyKeys(database, clock),
        queues=queues,
        dead_letters=DeadLetters(dead_letter_queues, audits, store),
        pings={
            "dynamodb": partial(database.ping, ORDERS),
            "s3": store.ping,
            "events": bus.ping,
            "ses": transport.ping,
            # Where no pool is set nothing is out: public operations are all that this process has.
            **({IDENTITY: jwks.ping} if jwks else {}),
        },
    )


@asynccontextmanager
async def _jwks(settings: Settings, clock: Clock) -> AsyncIterator[Jwks | None]:
    url = settings.cognito_jwks_url or (settings.cognito_issuer and f"{settings.cognito_issuer}/.well-known/jwks.json")
    if not url:
        yield None
        return
    async with Jwks(url, clock) as jwks:
        yield jwks


def _transport(settings: Settings, clients: AwsClients) -> MailTransport:
    match settings.mail_transport:
        case "sesv2":
            return SesV2(partial(clients.get, "sesv2"))
        case "ses":
            return Ses(partial(clients.get, "ses"))
        case "file":
            return MailFolder(settings.mail_file_dir)


def _seller(settings: Settings) -> Seller:
    return Seller(
        name=settings.seller_name,
        address=settings.seller_address,
        vat_number=settings.seller_vat_number,
        email=settings.seller_email,
    )


async def _with_secrets(settings: Settings, clients: AwsClients) -> Settings:
    """Settings with the values of the Secrets Manager secret in place of those from the environment."""
    if settings.secrets_name is None:
        return settings
    try:
        answer = await (await clients.get("secretsmanager")).get_secret_value(SecretId=settings.secrets_name)
    except Exception as error:
        raise Unavailable("secretsmanager", f"{settings.secrets_name}: {cause(error)}") from error
    values: dict[str, Any] = orjson.loads(answer["SecretString"])
    if unknown := sorted(values.keys() - Settings.model_fields.keys()):
        raise Rejected(f"the secret {settings.secrets_name} has keys that are no settings: {', '.join(unknown)}")
    return Settings(**(settings.model_dump(exclude_unset=True) | {"secrets_name": None} | values))


async def _with_local_user_pool(settings: Settings, clients: AwsClients) -> Settings:
    """On an emulator the pool is found by its name, where nobody said its id; without one nobody can sign in."""
    if settings.cognito_user_pool_id or settings.environment != "local" or not settings.aws_endpoint_url:
        return settings
    declared = Topology.for_settings(settings).user_pool
    try:
        with reaching(DIRECTORY):
            pool = await find_user_pool(await clients.get("cognito-idp"), declared.name, declared.client)
    except (ClientError, Unavailable) as error:
        log.warning("no user pool was found: nobody can sign in until the next start", reason=str(error))
        return settings
    return with_user_pool(settings, pool) if pool else settings


def with_user_pool(settings: Settings, pool: UserPool) -> Settings:
    """The same settings for a pool of an emulator, whose keys are at its own address."""
    told = {
        "cognito_user_pool_id": pool.pool_id,
        "cognito_client_ids": (pool.client_id,),
        "cognito_jwks_url": f"{settings.aws_endpoint_url}/{pool.pool_id}/.well-known/jwks.json",
    }
    return Settings(**settings.model_dump(exclude_unset=True) | told)
