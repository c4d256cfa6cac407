"""What a request to AWS says about itself: service, account, operation; read from its signature and its shape."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

_CREDENTIAL = re.compile(r"([A-Za-z0-9]+)/\d{8}/([a-z0-9-]*)/([a-z0-9-]+)/aws4_request")
_SIGNING_NAME_OF_MAIL = "ses"
_ANONYMOUS = "anonymous"


@dataclass(frozen=True)
class AwsRequest:
    """One request as its sender meant it; `service` is named as in aiobotocore (`sesv2` and `ses` are two)."""

    method: str
    path: str
    service: str
    account: str
    operation: str
    body: bytes

    @property
    def is_receive(self) -> bool:
        return self.service == "sqs" and self.operation == "ReceiveMessage"

    @classmethod
    def of(cls, scope: dict[str, Any], body: bytes) -> "AwsRequest":
        """Read the credential scope of the signature (header or presigned query) and the operation."""
        headers = _headers(scope["headers"])
        query = parse_qs(scope["query_string"].decode("latin-1"))
        account, signing_name = _caller(headers, query)
        path = scope["path"]
        service = _service(signing_name, path, headers)
        return cls(
            method=scope["method"],
            path=path,
            service=service,
            account=account,
            operation=_operation(service, scope["method"], path, headers, body),
            body=body,
        )


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def _caller(headers: dict[str, str], query: dict[str, list[str]]) -> tuple[str, str]:
    presigned = unquote(query.get("X-Amz-Credential", [""])[0])
    found = _CREDENTIAL.search(headers.get("authorization", "")) or _CREDENTIAL.search(presigned)
    return (found[1], found[3]) if found else (_ANONYMOUS, "")


def _service(signing_name: str, path: str, headers: dict[str, str]) -> str:
    if signing_name == _SIGNING_NAME_OF_MAIL:
        return "sesv2" if path.startswith("/v2/email") else "ses"
    if not signing_name and headers.get("x-amz-target", "").startswith("AWSCognito"):
        return "cognito-idp"
    return signing_name or "unknown"


def _operation(service: str, method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """Name the operation: as AWS does where the request carries it, else as method and path (S3: method and level)."""
    if target := headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    if "form-urlencoded" in headers.get("content-type", ""):
        return parse_qs(body.decode("latin-1")).get("Action", [f"{method} {path}"])[0]
    if service == "s3":
        return f"{method} {_s3_level(path)}"
    return f"{method} {path}"


def _s3_level(path: str) -> str:
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return "service"
    return "object" if key else "bucket"
