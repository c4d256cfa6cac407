"""An aiobotocore client some of whose calls are made without botocore while everything is well.

Connections, proxies, certificates, timeouts, endpoints, region and credentials are those of the aiobotocore client:
requests leave through its own HTTP session. Whatever is not a readable answer 200 is handed to it as the outcome of
*its* first attempt. So errors have its classes, and whether and when anything is sent again is its decision and its
configuration, exactly as without this module; nothing here ever sends a request twice.

Not done here, and only here: hooks that somebody registered on the session for these calls, redirects, the check of
parameters before anything is sent, `ResponseMetadata`, and botocore's count of features in the User-Agent. Only here
a connection is left over which something came unasked; aiohttp would take it for the next answer.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4
from zlib import crc32

from . import bodies
from .signing import Credentials, Signer
from .transport import Answer, HttpTransport

_SIGNATURE_VERSION = "v4"
# What an endpoint may come with that changes nothing of the request but botocore's statistics.
_HARMLESS = {"metricValues"}
_OK = 200

Arguments = dict[str, Any]
Read = Callable[[str, bytes], Arguments]

_outcome: ContextVar[list[Any] | None] = ContextVar("aws_first_outcome", default=None)


class _Endpoint(NamedTuple):
    transport: HttpTransport
    signer: Signer


@dataclass
class _Operation:
    """A call by aiobotocore's name of it, and where it goes by what its endpoint depends on."""

    method: str
    usual: Callable[..., Awaitable[Arguments]]
    model: Any
    headers: dict[str, str]
    endpoints: dict[tuple[Any, ...], _Endpoint | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._members = [parameter.member_name for parameter in self.model.context_parameters]
        self._tokens = self.model.idempotent_members
        self._looks_inside = bool(self.model.operation_context_parameters)

    def completed(self, arguments: Arguments) -> Arguments:
        """With the tokens by which AWS knows a repeat; they are those of aiobotocore's attempts as well."""
        if not self._tokens:
            return arguments
        return {token: str(uuid4()) for token in self._tokens} | arguments

    def place(self, arguments: Arguments, credentials: Credentials) -> tuple[Any, ...]:
        """Equal for calls that have the same endpoint."""
        account = getattr(credentials, "account_id", None)
        return (account, *(arguments.get(member) for member in self._members))

    def is_beyond(self, body: bytes) -> bool:
        """Whether a part of the request that `place` does not see may have an endpoint of its own."""
        return self._looks_inside and b'"arn:' in body


class SignedClient:
    """Has everything that the aiobotocore client has; the calls named at `of` are made here."""

    def __init__(self, client: Any, methods: Iterable[str], read: Read) -> None:
        self._client = client
        self._read = read
        self._transports: dict[str, _Endpoint] = {}
        self._credentials: Callable[[], Awaitable[Credentials]] = (
            client._request_signer._credentials.get_frozen_credentials  # noqa: SLF001 - the client's own, refreshed by it
        )
        self._user_agent: str = client.meta.config.user_agent
        for method in methods:
            setattr(self, method, partial(self._call, _operation(client, method)))

    @classmethod
    def of(cls, client: Any, methods: Iterable[str], read: Read = lambda _, content: bodies.read(content)) -> Any:
        """The client itself where it signs in another way than this module can: anonymous, bearer token, SigV4a.

        `read` gives the answer as botocore would, by the name of the method and the body; its ValueError leaves the
        answer to botocore.
        """
        signer = client._request_signer  # noqa: SLF001
        if signer._signature_version != _SIGNATURE_VERSION or signer._credentials is None:  # noqa: SLF001
            return client
        client.meta.events.register_first(f"before-send.{_service(client)}", _answer_first, "signed-client")
        return cls(client, methods, read)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def _call(self, operation: _Operation, **arguments: Any) -> Arguments:
        # As they are now: the session renews those that expire.
        credentials = await self._credentials()
        arguments = operation.completed(arguments)
        try:
            body = bodies.dumps(arguments)
        except TypeError:
            return await operation.usual(**arguments)
        endpoint = None if operation.is_beyond(body) else await self._endpoint(operation, arguments, credentials)
        if endpoint is None:
            return await operation.usual(**arguments)
        headers = endpoint.signer.sign(operation.headers, body, credentials)
        headers["user-agent"] = self._user_agent
        outcome: Any
        try:
            outcome = await endpoint.transport.post(headers, body)
        except Exception as error:  # noqa: BLE001 - as botocore takes whatever its own attempt raises
            outcome = error
        else:
            if isinstance(outcome, Answer):
                if outcome.status == _OK and (answer := self._understood(operation, outcome)) is not None:
                    return answer
                outcome = outcome.as_outcome()
            elif outcome.status_code == _OK:
                received = Answer("", _OK, outcome.headers, (), await outcome.content)
                if (answer := self._understood(operation, received)) is not None:
                    return answer
        return await _handed_over(outcome, operation.usual, arguments)

    def _understood(self, operation: _Operation, answer: Answer) -> Arguments | None:
        with suppress(ValueError):
            return self._read(operation.method, _whole(answer))
        return None

    async def _endpoint(
        self, operation: _Operation, arguments: Arguments, credentials: Credentials
    ) -> _Endpoint | None:
        place = operation.place(arguments, credentials)
        if place not in operation.endpoints:
            operation.endpoints[place] = await self._resolved(operation, arguments)
        return operation.endpoints[place]

    async def _resolved(self, operation: _Operation, arguments: Arguments) -> _Endpoint | None:
        """Where botocore's rules send this call; None where it goes in a way that this module does not know."""
        client = self._client
        context = {"client_region": client.meta.region_name, "client_config": client.meta.config, "auth_type": None}
        url, headers, properties = await client._resolve_endpoint_ruleset(operation.model, arguments, context)  # noqa: SLF001
        if headers or properties.keys() - _HARMLESS or "?" in url:
            return None
        url = url if url.count("/") > 2 else f"{url}/"
        if url not in self._transports:
            usual = client._request_signer  # noqa: SLF001
            # Of a FIPS endpoint the region in the signature is another than the client's.
            signer = Signer(url, usual._region_name, usual._signing_name)  # noqa: SLF001
            # One pool, one set of proxies and certificates.
            session = client._endpoint.http_session  # noqa: SLF001
            self._transports[url] = _Endpoint(HttpTransport(session, url), signer)
        return self._transports[url]


def _operation(client: Any, method: str) -> _Operation:
    service, name = client.meta.service_model, client.meta.method_to_api_mapping[method]
    headers = {
        "content-type": f"application/x-amz-json-{service.metadata['jsonVersion']}",
        "x-amz-target": f"{service.metadata['targetPrefix']}.{name}",
    }
    if "awsQueryCompatible" in service.metadata:
        # Without it errors would carry other codes than botocore's.
        headers["x-amzn-query-mode"] = "true"
    return _Operation(method, getattr(client, method), service.operation_model(name), headers)


def _service(client: Any) -> str:
    return str(client.meta.service_model.service_id.hyphenize())


def _whole(answer: Answer) -> bytes:
    """ValueError where DynamoDB's checksum says that it is another answer."""
    checksum = answer.headers.get("x-amz-crc32")
    if checksum is not None and int(checksum) != crc32(answer.content):
        raise ValueError("the answer is not what was sent")
    return answer.content


async def _handed_over(outcome: Any, usual: Callable[..., Awaitable[Arguments]], arguments: Arguments) -> Arguments:
    """Let aiobotocore go on from here as if it had made the first attempt."""
    token = _outcome.set([outcome])
    try:
        return await usual(**arguments)
    finally:
        _outcome.reset(token)


async def _answer_first(**_: Any) -> Any:
    """botocore's hook before it sends: what is returned or raised here is the outcome of that attempt."""
    pending = _outcome.get()
    if not pending:
        return None
    outcome = pending.pop()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
