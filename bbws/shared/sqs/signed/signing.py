"""AWS Signature Version 4 for the one kind of request that SQS's JSON protocol has: POST, no query, few headers."""

import hmac
import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol
from urllib.parse import quote, urlsplit

from botocore.utils import normalize_url_path

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Credentials(Protocol):
    """What aiobotocore's frozen credentials have."""

    @property
    def access_key(self) -> str: ...

    @property
    def secret_key(self) -> str: ...

    @property
    def token(self) -> str | None: ...


def host_of(url: str) -> str:
    """The Host header of a URL: lower case, IPv6 in brackets, the port unless it is the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f"{host}:{parts.port}"


@dataclass
class Signer:
    """Signs requests to one URL. The key is derived once per secret and day, not per request."""

    url: str
    region: str
    service: str
    _path: str = field(init=False, repr=False)
    _host: str = field(init=False, repr=False)
    _day: tuple[str, str] = field(default=("", ""), init=False, repr=False)
    _second: tuple[int, str] = field(default=(-1, ""), init=False, repr=False)
    _key: bytes = field(default=b"", init=False, repr=False)

    def __post_init__(self) -> None:
        self._path = quote(normalize_url_path(urlsplit(self.url).path), safe="/~")
        self._host = host_of(self.url)

    def sign(
        self, headers: dict[str, str], body: bytes, credentials: Credentials, *, at: float | None = None
    ) -> dict[str, str]:
        """`headers` (names in lower case) with date, token and signature; `at` is seconds since 1970, now by default.

        All given headers are signed.
        """
        timestamp = self._timestamp(int(time.time() if at is None else at))
        signed = {**headers, "x-amz-date": timestamp}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        scope = f"{timestamp[:8]}/{self.region}/{self.service}/aws4_request"
        names, digest = self._canonical(signed, body)
        text = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{digest}"
        signature = hmac.digest(self._signing_key(credentials.secret_key, timestamp[:8]), text.encode(), "sha256").hex()
        signed["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return signed

    def _timestamp(self, second: int) -> str:
        if self._second[0] != second:
            self._second = second, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        return self._second[1]

    def _canonical(self, headers: dict[str, str], body: bytes) -> tuple[str, str]:
        """Names of the signed headers, and the hash of the canonical request."""
        lines = sorted({**headers, "host": self._host}.items())
        names = ";".join(name for name, _ in lines)
        canonical = "\n".join(f"{name}:{' '.join(value.split())}" for name, value in lines)
        request = f"POST\n{self._path}\n\n{canonical}\n\n{names}\n{sha256(body).hexdigest()}"
        return names, sha256(request.encode()).hexdigest()

    def _signing_key(self, secret: str, date: str) -> bytes:
        if self._day != (secret, date):
            key = f"AWS4{secret}".encode()
            for part in (date, self.region, self.service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._key = (secret, date), key
        return self._key
