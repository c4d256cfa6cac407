"""Opening and closing the service clients: session, credentials, region and transport settings."""

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import aiobotocore
import botocore
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session

from .answers import read, read_quickly
from .client import HOT_CALLS, RECEIVE, BotocoreClient
from .limits import MAX_WAIT_TIME_S
from .payloads import S3Objects
from .signed import SignedClient, verification

ClientName = Literal["fast", "botocore"]

# Longer than a long poll may take, or every quiet poll would fail and be repeated.
_READ_TIMEOUT_S = MAX_WAIT_TIME_S + 20
_CONNECT_TIMEOUT_S = 5
_UNLIMITED = 1_000_000
_USER_AGENT = f"faststream-sqs aiobotocore/{aiobotocore.__version__} Botocore/{botocore.__version__}"


@dataclass
class Connection:
    """How to reach AWS; what is None comes from the default chain (environment, profile, role)."""

    endpoint_url: str | None = None
    client: ClientName = "fast"
    region_name: str | None = None
    session: AioSession | None = None
    client_config: AioConfig | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_session_token: str | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, init=False, repr=False)

    async def open(self, *, max_connections: int) -> BotocoreClient:
        """Clients for SQS, SNS and STS, which stay open until `close`; long polls take no part in the limit."""
        session, region = self._place()
        config = self._transport(max_connections)
        sqs, sns, sts = [await self._client(session, service, region, config) for service in ("sqs", "sns", "sts")]
        # The subscribers bound how many there are.
        polls = await self._client(session, "sqs", region, config.merge(AioConfig(max_pool_connections=_UNLIMITED)))
        return BotocoreClient(self._quick(sqs), self._quick(polls), sns, sts, region=sqs.meta.region_name)

    def _quick(self, sqs: Any) -> Any:
        read_quickly(sqs)
        if self.client == "botocore":
            return sqs
        return SignedClient.of(sqs, HOT_CALLS, lambda method, body: read(body, received=method == RECEIVE))

    async def open_s3(self, *, max_connections: int) -> S3Objects:
        """S3, open until `close` as well."""
        session, region = self._place()
        # Emulators have no host name for each bucket.
        style = AioConfig(s3={"addressing_style": "path"}) if self.endpoint_url else AioConfig()
        config = self._transport(max_connections).merge(style)
        return S3Objects(await self._client(session, "s3", region, config))

    def _place(self) -> tuple[AioSession, str | None]:
        session = self.session or get_session()
        return session, self.region_name or session.get_config_variable("region") or os.environ.get("AWS_REGION")

    async def close(self) -> None:
        """Close what `open` opened; harmless when nothing is open."""
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()

    def _transport(self, max_connections: int) -> AioConfig:
        own = AioConfig(
            read_timeout=_READ_TIMEOUT_S,
            connect_timeout=_CONNECT_TIMEOUT_S,
            max_pool_connections=max_connections,
            # We make every request ourselves; checking them again costs a quarter of the client's time.
            parameter_validation=False,
            # botocore's own is put together anew for each request, which costs a tenth of its time.
            user_agent=_USER_AGENT,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        return own.merge(self.client_config) if self.client_config else own

    async def _client(self, session: AioSession, service: str, region: str | None, config: AioConfig) -> Any:
        created = session.create_client(
            service,
            region_name=region,
            endpoint_url=self.endpoint_url,
            verify=verification(self.endpoint_url, config),
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
            config=config,
        )
        return await self._stack.enter_async_context(created)
