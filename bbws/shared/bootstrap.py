"""Builds and closes everything a process needs; gateway, consumers and tests call the same function."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import orjson
from botocore.exceptions import ClientError

from bbws.shared.aws_errors import cause, reaching
from bbws.shared.clock import Clock, utc_now
from bbws.shared.core import audit_entries, mail_claims
from bbws.shared.dynamo.cursor import CursorSigner
from bbws.shared.dynamo.database import Database
from bbws.shared.dynamo.keys import ORDERS
from bbws.shared.errors import Dependency, Ping, Rejected, Unavailable
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
from bbws.shared.operating.wiring import OperatingServices
from bbws.shared.sales import wiring as sales
from bbws.shared.settings import Settings, secret
from bbws.shared.templating import S3Templates, Templates
from bbws.shared.tenancy import wiring as tenancy
from bbws.shared.tenancy.services.tenant_records import TenantRecords
from bbws.shared.topology import Topology

# Everything that may stand under a tenant, or beside an order.
TENANT_ITEMS = (*tenancy.KINDS, *sales.KINDS, *audit_entries.KINDS, *mail_claims.KINDS)

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Services(OperatingServices, sales.SalesServices):
    jwks: Jwks | None

    @cached_property
    def tenant_records(self) -> TenantRecords:
        """Over all areas: each says of its own items what is personal."""
        return TenantRecords(
            self.database, self.tenant_outbox, self.audit_entries, self.clock, self.document_store, TENANT_ITEMS
        )

    @cached_property
    def pings(self) -> Mapping[Dependency, Ping]:
        """Asks each dependency whether it answers, but for those that only tools and the start need."""
        return {
            "dynamodb": partial(self.database.ping, ORDERS),
            "s3": self.document_store.ping,
            "events": self.event_bus.ping,
            "ses": self.mail_transport.ping,
            # Where no pool is set nothing is out: public operations are all that this process has.
            **({IDENTITY: self.jwks.ping} if self.jwks else {}),
            **({DIRECTORY: self.directory.ping} if self.settings.cognito_user_pool_id else {}),
        }


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
        topology = Topology.for_settings(settings)
        links = await stack.enter_async_context(_clients_of(settings, settings.documents_endpoint_url))
        jwks = await stack.enter_async_context(_jwks(settings, clock))
        yield Services(
            settings=settings,
            clock=clock,
            topology=topology,
            database=_database(settings, clients),
            event_bus=EventBus(partial(clients.get, "events"), topology.bus),
            queues=Queues(partial(clients.get, "sqs")),
            document_store=_document_store(topology, clients, links),
            templates=await _templates(settings, topology, clients),
            mail_transport=_mail_transport(settings, clients),
            pdf=await stack.enter_async_context(PdfRenderer(settings.pdf_processes, warm=warm_pdf)),
            payfast=await stack.enter_async_context(_payfast(settings)),
            payfast_sources=SourceCheck(settings.payfast_source_ranges, settings.payfast_source_hosts),
            directory=UserDirectory(partial(clients.get, "cognito-idp"), settings.cognito_user_pool_id),
            tokens=TokenVerifier(jwks, settings.cognito_issuer, settings.cognito_client_ids, clock),
            jwks=jwks,
        )


def _database(settings: Settings, clients: AwsClients) -> Database:
    cursors = CursorSigner(settings.cursor_signing_key.get_secret_value())
    return Database(partial(clients.get, "dynamodb"), cursors)


def _document_store(topology: Topology, clients: AwsClients, links: AwsClients) -> DocumentStore:
    return DocumentStore(partial(clients.get, "s3"), topology.bucket("documents").name, partial(links.get, "s3"))


async def _templates(settings: Settings, topology: Topology, clients: AwsClients) -> Templates:
    bucket = topology.bucket("templates").name
    return Templates(S3Templates(await clients.get("s3"), bucket, revalidate_s=settings.template_revalidate_s))


def _payfast(settings: Settings) -> Payfast:
    host = settings.payfast_server_url or settings.payfast_url
    return Payfast(host, timeout_s=settings.payfast_validate_timeout_s)


@asynccontextmanager
async def _jwks(settings: Settings, clock: Clock) -> AsyncIterator[Jwks | None]:
    url = settings.cognito_jwks_url or (settings.cognito_issuer and f"{settings.cognito_issuer}/.well-known/jwks.json")
    if not url:
        yield None
        return
    async with Jwks(url, clock) as jwks:
        yield jwks


def _mail_transport(settings: Settings, clients: AwsClients) -> MailTransport:
    match settings.mail_transport:
        case "sesv2":
            return SesV2(partial(clients.get, "sesv2"))
        case "ses":
            return Ses(partial(clients.get, "ses"))
        case "file":
            return MailFolder(settings.mail_file_dir)


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
