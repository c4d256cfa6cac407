"""Faults that tests switch on in front of the emulator, answered in the protocol of the service they hit."""

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

from bbws.local.emulator_requests import AwsRequest

_ERROR_PREFIX = {
    "dynamodb": "com.amazonaws.dynamodb.v20120810#",
    "sqs": "com.amazonaws.sqs#",
    "events": "com.amazonaws.events#",
}
_JSON_VERSION = {"events": "1.1", "cognito-idp": "1.1"}


@dataclass(frozen=True)
class Fault:
    """A share `rate` of the calls of one service (of one account, of one operation) is answered with an error.

    Without `status` the calls are only delayed by `latency_ms`. `times` ends the fault after so many hits.
    """

    service: str
    status: int | None = None
    code: str | None = None
    rate: float = 1.0
    account: str | None = None
    operation: str | None = None
    latency_ms: int = 0
    times: int | None = None

    def matches(self, request: AwsRequest) -> bool:
        return (
            self.service == request.service
            and self.account in (None, request.account)
            and self.operation in (None, request.operation)
        )

    @property
    def error_code(self) -> str:
        return self.code or _default_code(self.service, self.status or 503)


def _default_code(service: str, status: int) -> str:
    if status < 500:
        return "ThrottlingException"
    if service == "s3":
        return "SlowDown" if status == 503 else "InternalError"
    return "InternalServerError" if service == "dynamodb" else "ServiceUnavailable"


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer of ASGI."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Faults:
    """The faults that are switched on now; one per service, account and operation, the newest wins."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str | None, str | None], Fault] = {}
        self._random = random.Random()  # noqa: S311
        self._healed = asyncio.Event()

    def put(self, described: dict[str, dict[str, Any]]) -> None:
        """Switch faults on: `{"dynamodb": {"status": 503, "rate": 0.5, "account": "123456789012"}}`.

        Raises TypeError for an unknown setting.
        """
        for fault in [Fault(service=service, **settings) for service, settings in described.items()]:
            self._active[fault.service, fault.account, fault.operation] = fault

    def clear(self, account: str | None = None) -> None:
        """Switch off the faults of one account, or all of them; calls that are being delayed go on at once."""
        self._active = {
            key: fault for key, fault in self._active.items() if account is not None and fault.account != account
        }
        self._healed.set()
        self._healed = asyncio.Event()

    async def strike(self, request: AwsRequest) -> Answer | None:
        """Wait as long as the fault for this request says and give its error, or None when it may pass."""
        fault = self._take(request)
        if fault is None:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(fault.latency_ms / 1000):
                await self._healed.wait()
        return error_answer(fault) if fault.status is not None else None

    def _take(self, request: AwsRequest) -> Fault | None:
        fault = next((f for f in reversed(list(self._active.values())) if f.matches(request)), None)
        if fault is None or self._random.random() >= fault.rate:
            return None
        self._count_down(fault)
        return fault

    def _count_down(self, fault: Fault) -> None:
        if fault.times is None:
            return
        key = (fault.service, fault.account, fault.operation)
        if fault.times <= 1:
            del self._active[key]
        else:
            self._active[key] = replace(fault, times=fault.times - 1)


def error_answer(fault: Fault) -> Answer:
    """Shape the error as its service does: XML for S3, SNS and SES v1, JSON for the others."""
    if fault.service in ("s3", "sns", "ses"):
        return _xml_answer(fault)
    return _json_answer(fault)


def _message(fault: Fault) -> str:
    return f"{fault.error_code}: injected fault"


def _json_answer(fault: Fault) -> Answer:
    code = fault.error_code
    body = {"__type": _ERROR_PREFIX.get(fault.service, "") + code, "message": _message(fault)}
    version = _JSON_VERSION.get(fault.service, "1.0")
    media_type = "application/json" if fault.service == "sesv2" else f"application/x-amz-json-{version}"
    headers = {"content-type": media_type, "x-amzn-errortype": code, "x-amzn-requestid": str(uuid4())}
    return Answer(fault.status or 503, _encode(headers), json.dumps(body).encode())


def _xml_answer(fault: Fault) -> Answer:
    code, message = escape(fault.error_code), escape(_message(fault))
    if fault.service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{uuid4()}</RequestId></Error>"
    else:
        body = (
            f"<ErrorResponse><Error><Type>Receiver</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{uuid4()}</RequestId></ErrorResponse>"
        )
    headers = {"content-type": "text/xml", "x-amzn-requestid": str(uuid4())}
    return Answer(fault.status or 503, _encode(headers), f'<?xml version="1.0"?>{body}'.encode())


def _encode(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
