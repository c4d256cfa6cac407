"""One POST after the other on the connection pool of aiobotocore's HTTP session.

aiobotocore's `send` builds a request and a response object of aiohttp each time; together they cost more than
everything else a call to SQS does here. Where the session is aiobotocore's own on aiohttp and no proxy is in between,
requests are written to a connection of its pool directly: the pool, TLS, name lookup, timeouts and the parser of
answers stay aiohttp's. Otherwise `send` is used as it is.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.http_exceptions import HttpProcessingError
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import HTTPClientError

from .signing import host_of

# aiohttp takes 101 for an answer as well.
_INTERIM = {*range(100, 200)} - {101}
# What aiohttp writes into no header: a key with a line end would begin another one.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Answer(NamedTuple):
    """What came over a connection of ours; `headers` are found in any case."""

    url: str
    status: int
    headers: Mapping[str, str]
    raw_headers: Sequence[tuple[bytes, bytes]]
    content: bytes

    def as_outcome(self) -> AioAWSResponse | HTTPClientError:
        """As aiobotocore's session gives or raises it."""
        try:
            headers = {name.decode().lower(): value.decode() for name, value in self.raw_headers}
        except UnicodeDecodeError as error:
            return HTTPClientError(error=error)
        response = AioAWSResponse(self.url, self.status, headers, None)
        response._content = self.content  # noqa: SLF001 - where aiobotocore keeps it once it is read
        return response


class HttpTransport:
    """POSTs to one URL; errors are those of the session's `send`."""

    def __init__(self, session: Any, url: str) -> None:
        self._session = session
        self._url = url
        self._head = ""
        self._is_open = False
        self._pool: Any = None
        self._target: Any = None
        self._timeout: Any = None

    async def _open(self) -> None:
        """Find out whether connections can be used directly; at the first request, as it may read certificates."""
        self._is_open = True
        session, url = self._session, self._url
        if type(session) is not AIOHTTPSession or session._proxy_config.proxy_url_for(url):  # noqa: SLF001
            return
        client = await session._get_session(None)  # noqa: SLF001 - the session that `send` uses itself
        # What a connection depends on, in aiohttp's terms: scheme, host, port and the session's TLS context.
        target = client._request_class("POST", _yarl(client, url), loop=client._loop, session=client)  # noqa: SLF001
        self._head = f"POST {target.url.raw_path_qs} HTTP/1.1\r\nhost: {host_of(url)}\r\naccept-encoding: identity\r\n"
        self._pool, self._target, self._timeout = client.connector, target, session._timeout  # noqa: SLF001

    async def post(self, headers: Mapping[str, str], body: bytes) -> Any:
        """An `Answer`, or the session's own where the connection was not ours; raises what its `send` does."""
        if not self._is_open:
            await self._open()
        if self._pool is None:
            return await self._session.send(AWSPreparedRequest("POST", self._url, headers, body, False))
        try:
            return await self._direct(headers, body)
        except Exception as error:  # noqa: BLE001 - the session knows which of botocore's errors each is
            return await self._session.send(_Failed(self._url, headers, error))

    async def _direct(self, headers: Mapping[str, str], body: bytes) -> Answer:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if _CONTROL.search("".join(headers.values())):
            raise ValueError("Forbidden control character detected in headers. Potential header injection attack.")
        connection = await self._connect()
        try:
            protocol = connection.protocol
            protocol.set_response_params(
                read_until_eof=True, auto_decompress=False, read_timeout=self._timeout.sock_read
            )
            connection.transport.write(f"{self._head}{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            protocol.start_timeout()
            message, payload = await self._answer(protocol)
            content = await payload.read()
        except BaseException:
            # An answer may still come: nobody else must find it on this connection.
            connection.close()
            raise
        connection.release()
        return Answer(self._url, message.code, message.headers, message.raw_headers, content)

    async def _connect(self) -> Any:
        """A connection of the pool; errors are those that aiohttp's session makes of its connector's."""
        try:
            # The pool looks whether a connection is open, not whether something came over it that nobody asked for,
            # as a balancer's 408: that would be the answer to this request, and its answer the next one's.
            for _ in range(self._pool.limit + 1):
                connection = await self._pool.connect(self._target, traces=[], timeout=self._timeout)
                if not connection.protocol.should_close:
                    return connection
                connection.close()
            raise aiohttp.ServerDisconnectedError
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {self._url}") from error
        except OSError as error:
            if isinstance(error, aiohttp.ClientError):
                raise
            raise aiohttp.ClientOSError(*error.args) from error

    async def _answer(self, protocol: Any) -> tuple[Any, Any]:
        """Head and payload; errors are those that aiohttp's session makes of its parser's."""
        try:
            message, payload = await protocol.read()
            while message.code in _INTERIM:
                message, payload = await protocol.read()
        except HttpProcessingError as error:
            request = self._target.request_info
            raise aiohttp.ClientResponseError(request, (), status=error.code, message=error.message) from error
        except OSError as error:
            if isinstance(error, (aiohttp.ClientError, TimeoutError)):
                raise
            raise aiohttp.ClientOSError(*error.args) from error
        return message, payload


def _yarl(client: Any, url: str) -> Any:
    return client._build_url(url)  # noqa: SLF001 - spares an import of aiohttp's URL class


class _Failed:
    """A request whose body cannot be had: `send` translates the error as if it had happened there."""

    method = "POST"
    stream_output = False

    def __init__(self, url: str, headers: Mapping[str, str], error: Exception) -> None:
        self.url = url
        self.headers = headers
        self._error = error

    @property
    def body(self) -> bytes:
        """Raises."""
        raise self._error
