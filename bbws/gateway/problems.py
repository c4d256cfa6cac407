"""Errors as RFC 9457 problem details; the only place that decides how an error looks from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import orjson
from aiohttp import web

from bbws.shared.errors import FieldError, Rejected, Unavailable

PROBLEM_JSON = "application/problem+json"

# A body of 256 KiB can hold tens of thousands of unknown fields; the answer must not grow with it.
MAX_FIELD_ERRORS = 100
RETRY_AFTER_S = 5

_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not know the method; Allow lists those it knows.",
    408: "The request did not arrive in time.",
    413: "The body is larger than this operation takes.",
    415: "The body has a media type that this operation does not take.",
}


class ClientError(Rejected):
    """A request that HTTP itself refuses (406, 408, 413, 415); `status` and headers are its own."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(detail)
        self.own_status = status
        self.headers = headers


class Busy(Unavailable):
    """This process has as much to do as it takes on; `Retry-After` says when to come again."""

    def __init__(self, detail: str) -> None:
        super().__init__("gateway", detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind` is the last part of the type URN, `urn:bbws:problem:{kind}`."""

    status: int
    title: str
    detail: str
    kind: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def as_json(self, instance: str, trace_id: str) -> bytes:
        document: dict[str, Any] = {
            "type": f"urn:bbws:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "traceId": trace_id,
        }
        if self.errors:
            shown = self.errors[:MAX_FIELD_ERRORS]
            document["errors"] = [{"pointer": error.pointer, "detail": error.detail} for error in shown]
        return orjson.dumps(document)


def problem_of(error: Exception, reference: str) -> Problem:
    """What `error` says to the caller; a bug says nothing but `reference`, under which its traceback is logged."""
    if isinstance(error, ClientError):
        return _of_status(error.own_status, error.detail, error.headers)
    if isinstance(error, Rejected | Unavailable):
        return _of_bbws(error)
    if isinstance(error, web.HTTPException) and error.status >= HTTPStatus.BAD_REQUEST:
        return _of_aiohttp(error)
    detail = f"Something went wrong on our side. Quote the reference {reference} when you report it."
    return Problem(500, "Internal error", detail, "internal-error")


def _of_status(status: int, detail: str, headers: Mapping[str, str]) -> Problem:
    title = HTTPStatus(status).phrase
    return Problem(status, title, detail, title.lower().replace(" ", "-"), headers=headers)


def _of_bbws(error: Rejected | Unavailable) -> Problem:
    kind = error.title.lower().replace(" ", "-")
    if isinstance(error, Rejected):
        return Problem(error.status, error.title, error.detail, kind, error.errors)
    # What the dependency said is for the log: it may name hosts and tables.
    detail = error.detail if isinstance(error, Busy) else "A part that this needs is out of reach; please try again."
    return Problem(error.status, error.title, detail, kind, headers={"Retry-After": str(RETRY_AFTER_S)})


def _of_aiohttp(error: web.HTTPException) -> Problem:
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    phrase = HTTPStatus(error.status).phrase
    return _of_status(error.status, _SENTENCES.get(error.status, f"{phrase}."), headers)


def answer(problem: Problem, instance: str, trace_id: str) -> web.Response:
    return web.Response(
        status=problem.status,
        body=problem.as_json(instance, trace_id),
        content_type=PROBLEM_JSON,
        headers=dict(problem.headers),
    )
