"""The calls that are made all the time, without botocore's way of building and reading them.

Connections, proxies, certificates, timeouts, endpoint, region and credentials are those of the aiobotocore client
beside it: requests leave through its own HTTP session. Whatever is not a readable answer 200 is handed to that client
as the outcome of *its* first attempt. So errors have its classes, and whether and when anything is sent again is its
decision and its configuration, exactly as without this module; nothing here ever sends a request twice.

Not done here, and only here: hooks that somebody registered on the session for these calls, redirects, and botocore's
count of features in the User-Agent.
"""

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from .answers import read
from .client import RECEIVE, BotocoreClient
from .http_transport import HttpTransport
from .signing import Credentials, Signer

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

_SIGNATURE_VERSION = "v4"
_OPERATIONS = {
    RECEIVE: "ReceiveMessage",
    "delete_message_batch": "DeleteMessageBatch",
    "change_message_visibility_batch": "ChangeMessageVisibilityBatch",
    "send_message": "SendMessage",
    "send_message_batch": "SendMessageBatch",
}
_OK = 200

_outcome: ContextVar[list[Any] | None] = ContextVar("sqs_first_outcome", default=None)


class SignedConnection:
    """Signed requests over the HTTP session of an aiobotocore client for SQS."""

    def __init__(self, sqs: Any, url: str, signer: Signer) -> None:
        # One pool, one set of proxies and certificates.
        self._transport = HttpTransport(sqs._endpoint.http_session, url)  # noqa: SLF001
        self._credentials: Callable[[], Awaitable[Credentials]] | None = getattr(
            sqs._request_signer._credentials,  # noqa: SLF001 - the client's own, refreshed by it
            "get_frozen_credentials",
            None,
        )
        self._signer = signer
        common = {
            "content-type": f"application/x-amz-json-{sqs.meta.service_model.metadata['jsonVersion']}",
            # Without it errors would carry other codes than botocore's.
            "x-amzn-query-mode": "true",
        }
        prefix = sqs.meta.service_model.metadata["targetPrefix"]
        self._headers = {method: {**common, "x-amz-target": f"{prefix}.{name}"} for method, name in _OPERATIONS.items()}
        self._user_agent: str = sqs.meta.config.user_agent

    @classmethod
    async def of(cls, sqs: Any) -> "SignedConnection | None":
        """None where the client signs in another way than this module can: anonymous, bearer token, SigV4a."""
        usual = sqs._request_signer  # noqa: SLF001
        if usual._signature_version != _SIGNATURE_VERSION:  # noqa: SLF001
            return None
        model = sqs.meta.service_model.operation_model("ReceiveMessage")
        context = {"client_region": sqs.meta.region_name, "client_config": sqs.meta.config, "auth_type": None}
        # QueueUrl takes no part in SQS's endpoints: they are the same for all queues.
        url, headers, properties = await sqs._resolve_endpoint_ruleset(model, {"QueueUrl": ""}, context)  # noqa: SLF001
        if headers or properties or "?" in url:
            return None
        url = url if url.count("/") > 2 else f"{url}/"
        # Of a FIPS endpoint the region in the signature is another than the client's.
        return cls(sqs, url, Signer(url, usual._region_name, usual._signing_name))  # noqa: SLF001

    async def credentials(self) -> Credentials | None:
        """As they are now: the session renews those that expire."""
        return await self._credentials() if self._credentials is not None else None

    async def post(self, method: str, body: bytes, credentials: Credentials) -> Any:
        """botocore's response object; raises what the session's `send` does."""
        headers = self._signer.sign(self._headers[method], body, credentials)
        headers["user-agent"] = self._user_agent
        return await self._transport.post(headers, body)


class FastClient(BotocoreClient):
    """`Client` whose five hot calls skip botocore while everything is well."""

    _connection: SignedConnection | None = None
    _poll_connection: SignedConnection | None = None

    async def connect(self) -> None:
        """Find out where and how the aiobotocore clients send; without this every call goes through them."""
        self._connection = await _connected(self.sqs)
        self._poll_connection = await _connected(self.polls)

    async def _call(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        connection = self._poll_connection if method == RECEIVE else self._connection
        credentials = await connection.credentials() if connection is not None else None
        if connection is None or credentials is None:
            return await super()._call(method, arguments)
        outcome: Any
        try:
            outcome = await connection.post(method, _dumps(arguments), credentials)
        except Exception as error:  # noqa: BLE001 - as botocore takes whatever its own attempt raises
            outcome = error
        else:
            if outcome.status_code == _OK:
                with suppress(ValueError):
                    return read(await outcome.content, received=method == RECEIVE)
        return await self._hand_over(method, arguments, outcome)

    async def _hand_over(self, method: str, arguments: dict[str, Any], outcome: Any) -> dict[str, Any]:
        """Let aiobotocore go on from here as if it had made the first attempt."""
        token = _outcome.set([outcome])
        try:
            return await super()._call(method, arguments)
        finally:
            _outcome.reset(token)


async def _connected(sqs: Any) -> SignedConnection | None:
    connection = await SignedConnection.of(sqs)
    if connection is not None:
        sqs.meta.events.register_first("before-send.sqs", _answer_first)
    return connection


async def _answer_first(**_: Any) -> Any:
    """botocore's hook before it sends: what is returned or raised here is the outcome of that attempt."""
    pending = _outcome.get()
    if not pending:
        return None
    outcome = pending.pop()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} in a request to SQS")


if orjson is not None:

    def _dumps(arguments: dict[str, Any]) -> bytes:
        return orjson.dumps(arguments, default=_as_text)

else:

    def _dumps(arguments: dict[str, Any]) -> bytes:
        return json.dumps(arguments, default=_as_text).encode()
