"""Clients of AWS, or of whatever speaks its protocol at an endpoint of ours."""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import cache
from types import TracebackType
from typing import Any, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.loaders import create_loader

from bbws import __version__
from bbws.shared.dynamo import answers as dynamo
from bbws.shared.sqs.signed import SignedClient, read, verification

MAX_CONNECTIONS = 50
CONNECT_TIMEOUT_S = 5
# Above SQS's longest poll of 20 s: a shorter one would abandon polls that are about to answer.
READ_TIMEOUT_S = 30
MAIL_TIMEOUT_S = 10
MAX_ATTEMPTS = 3
LOCALSTACK_PORT = 4566
# The calls that are made all the time, and how their answers are read.
_SIGNED: dict[str, tuple[Iterable[str], Callable[[str, bytes], dict[str, Any]]]] = {
    "dynamodb": (dynamo.CALLS, lambda _, content: dynamo.read(content)),
    "events": (("put_events",), lambda _, content: read(content)),
}

# Reading a service's model from disk takes up to 100 ms; all sessions of a process share what was read.
_MODELS = create_loader()


def new_session() -> AioSession:
    session = AioSession()
    session.register_component("data_loader", _MODELS)
    return session


@cache
def shared_session() -> AioSession:
    """For clients that are given their keys: a session takes longer to make than a client."""
    return new_session()


def session_for(access_key_id: str | None) -> AioSession:
    """The shared one only where keys are given: a session keeps the credentials that it found."""
    return shared_session() if access_key_id else new_session()


class AwsClients:
    """aiobotocore clients, made when first asked for, one per service, all closed at the end of `async with`.

    `endpoint_url` sends every service to that address; None means AWS, unless `AWS_ENDPOINT_URL` or
    `LOCALSTACK_HOST` is set. Without a key the clients find their credentials as every AWS client does.
    """

    def __init__(
        self,
        endpoint_url: str | None,
        region: str,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
    ) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._credentials = {
            "aws_access_key_id": access_key_id,
            "aws_secret_access_key": secret_access_key,
            "aws_session_token": session_token,
        }
        self._session = session_for(access_key_id)
        self._exits = AsyncExitStack()
        self._clients: dict[str, Any] = {}
        self._creating = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.clear()
        await self._exits.aclose()

    async def get(self, service: str) -> Any:
        """The client of one service, the same one each time."""
        if service not in self._clients:
            async with self._creating:
                if service not in self._clients:
                    self._clients[service] = await self._new(service)
        return self._clients[service]

    async def _new(self, service: str) -> Any:
        client = await self._exits.enter_async_context(self._create(service))
        return SignedClient.of(client, *_SIGNED[service]) if service in _SIGNED else client

    def _create(self, service: str) -> Any:
        endpoint_url = service_endpoint(service, self._endpoint_url)
        return self._session.create_client(
            service,
            region_name=self._region,
            endpoint_url=endpoint_url,
            verify=verification(endpoint_url),
            config=client_config(service, local=endpoint_url is not None),
            **self._credentials,
        )


def client_config(service: str, *, local: bool) -> AioConfig:
    """Timeouts, retries and pool of a client; `local` keeps bucket names in the path, where no DNS knows them."""
    # A mail that is asked for again after a lost answer is a second mail: one try, and its lease outlasts it.
    is_mail = service in ("ses", "sesv2")
    return AioConfig(
        max_pool_connections=MAX_CONNECTIONS,
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=MAIL_TIMEOUT_S if is_mail else READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": 1 if is_mail else MAX_ATTEMPTS},
        user_agent=f"bbws/{__version__}",
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "path" if local else "auto"},
    )


def service_endpoint(service: str, endpoint_url: str | None) -> str | None:
    """Where a service is: the given address, else what localstack-client reads from the environment, else AWS (None).

    localstack-client prefers `AWS_ENDPOINT_URL` to everything it is told, so another given address passes it by.
    """
    from_environment = _environment_endpoint()
    if from_environment is None or endpoint_url not in (None, from_environment):
        return endpoint_url
    try:
        # Imported only here: it brings boto3, and no process on AWS has it.
        from localstack_client.config import get_service_endpoint
    except ImportError:
        return from_environment
    return get_service_endpoint(service) or from_environment


def _environment_endpoint() -> str | None:
    if endpoint_url := os.environ.get("AWS_ENDPOINT_URL", "").strip():
        return endpoint_url
    host = os.environ.get("LOCALSTACK_HOST", "").strip()
    if not host:
        return None
    return f"http://{host}" if ":" in host else f"http://{host}:{LOCALSTACK_PORT}"
