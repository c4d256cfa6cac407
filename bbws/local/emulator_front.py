"""What stands in front of the emulator: no web pages, fault injection, call counts, mail capture, abandoned polls.

Its own resources, all JSON:

    GET    /_bbws/health                  {"ok": true, "pid": …}
    PUT    /_bbws/faults                  {"dynamodb": {"status": 503, "rate": 1.0, "account": …, "latency_ms": 0}}
    DELETE /_bbws/faults[?account=]
    GET    /_bbws/calls[?account=]        {account: {service: {operation: count}}}, or of one account {service: …}
    DELETE /_bbws/calls[?account=]
    GET    /_bbws/polls?account=          how many long polls of an account are waiting now
    PUT    /_bbws/accounts/{id}?like=     a new account that has what another one has (`emulator_accounts.py`)
    GET    /_bbws/mails[?account=]        [{"id", "account", "from", "to", "subject", "path"}], newest first
    GET    /_bbws/mails/{id}              the raw mail
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from bbws.gateway.hosts import is_own_host
from bbws.local.emulator_accounts import CannotCopy, copy_account
from bbws.local.emulator_faults import Answer, Faults
from bbws.local.emulator_requests import AwsRequest
from bbws.local.mail_files import MailFiles, MailSummary

Scope = dict[str, Any]
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTROL_PREFIX = "/_bbws/"
_OWN_PAGES = ("", "same-origin", "none")


class CallCounts:
    """How often each account called each operation since the start or the last reset."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, request: AwsRequest) -> None:
        self._counts[request.account, request.service, request.operation] += 1

    def of(self, account: str) -> dict[str, dict[str, int]]:
        return self.all().get(account, {})

    def all(self) -> dict[str, dict[str, dict[str, int]]]:
        counts: dict[str, dict[str, dict[str, int]]] = {}
        for (account, service, operation), count in self._counts.items():
            counts.setdefault(account, {}).setdefault(service, {})[operation] = count
        return counts

    def clear(self, account: str | None) -> None:
        self._counts = Counter({k: n for k, n in self._counts.items() if account is not None and k[0] != account})


class EmulatorFront:
    """ASGI middleware around the emulator's app; lifespan passes through untouched, websockets are refused."""

    def __init__(self, app: App, mails: MailFiles) -> None:
        self._app = app
        self._mails = mails
        self._faults = Faults()
        self._calls = CallCounts()
        self._polls: Counter[str] = Counter()
        # The emulator looks for a user of the same e-mail and makes one in two steps, in threads; Cognito in one.
        self._making_users = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _without_sharing(send)
        if is_from_a_page(scope):
            await _send_answer(send, _json_answer({"detail": "web pages have no access"}, status=403))
            return
        body = await read_body(receive)
        if body is None:
            return
        if scope["path"].startswith(CONTROL_PREFIX):
            await _send_answer(send, self._control(scope, body))
            return
        await self._pass_on(scope, AwsRequest.of(scope, body), receive, send)

    async def _pass_on(self, scope: Scope, request: AwsRequest, receive: Receive, send: Send) -> None:
        self._calls.add(request)
        fault = await self._faults.strike(request)
        if fault is not None:
            await _send_answer(send, fault)
            return
        if request.service in ("ses", "sesv2"):
            send = MailCapturing(send, request, self._mails)
        answering = self._app(scope, _Replay(request.body, receive), send)
        if request.is_receive:
            await self._poll(request.account, answering, receive)
        elif request.operation == "AdminCreateUser":
            async with self._making_users:
                await answering
        else:
            await answering

    async def _poll(self, account: str, answering: Awaitable[None], receive: Receive) -> None:
        self._polls[account] += 1
        try:
            await _until_client_leaves(answering, receive)
        finally:
            self._polls[account] -= 1

    def _control(self, scope: Scope, body: bytes) -> Answer:
        resource = f"{scope['method']} {scope['path'].removeprefix(CONTROL_PREFIX)}"
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        account = query.get("account")
        match resource.split("/", 1):
            case ["GET mails", mail_id]:
                return self._raw_mail(unquote(mail_id))
            case ["GET mails"]:
                return _json_answer([_describe(mail) for mail in self._mails.list(account)])
            case ["PUT accounts", target]:
                return _copy(query.get("like", ""), target)
            case ["GET calls"]:
                return _json_answer(self._calls.all() if account is None else self._calls.of(account))
            case ["GET polls"]:
                return _json_answer(self._polls[account or ""])
            case ["DELETE calls"]:
                self._calls.clear(account)
                return _json_answer({})
            case ["PUT faults"]:
                return self._put_faults(body)
            case ["DELETE faults"]:
                self._faults.clear(account)
                return _json_answer({})
            case ["GET health"]:
                return _json_answer({"ok": True, "pid": os.getpid()})
        return _json_answer({"detail": f"no such control resource: {resource}"}, status=404)

    def _put_faults(self, body: bytes) -> Answer:
        try:
            self._faults.put(json.loads(body))
        except (TypeError, ValueError, AttributeError) as error:
            return _json_answer({"detail": f"not a description of faults: {error}"}, status=400)
        return _json_answer({})

    def _raw_mail(self, mail_id: str) -> Answer:
        raw = self._mails.find(mail_id)
        if raw is None:
            return _json_answer({"detail": f"no mail {mail_id}"}, status=404)
        return Answer(200, [(b"content-type", b"message/rfc822")], raw)


class MailCapturing:
    """A `send` that stores the mail of a request before its sender learns that SES accepted it."""

    def __init__(self, send: Send, request: AwsRequest, mails: MailFiles) -> None:
        self._send = send
        self._request = request
        self._mails = mails
        self._accepted = False
        self._answer = b""

    async def __call__(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            self._accepted = 200 <= event["status"] < 300
        elif event["type"] == "http.response.body" and self._accepted:
            self._answer += event.get("body", b"")
            if not event.get("more_body", False):
                self._mails.capture(self._request, self._answer)
        await self._send(event)


class _Replay:
    """A `receive` that gives a body that was already read, then what the client does next."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Event:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def is_from_a_page(scope: Scope) -> bool:
    """Whether a browser sends this for a web page, which needs no credentials to do anything here.

    Following a presigned link is the one thing that a page may lead its reader to.
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if "origin" in headers or scope["method"] == "OPTIONS" or not is_own_host(headers.get("host", ""), ()):
        return True
    return headers.get("sec-fetch-site", "") not in _OWN_PAGES and not _is_presigned_link(scope)


def _is_presigned_link(scope: Scope) -> bool:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    # Older protocols take whole calls as a query: those change things, whatever else the query holds.
    return scope["method"] in ("GET", "HEAD") and "X-Amz-Signature" in query and "Action" not in query


def _without_sharing(send: Send) -> Send:
    """A `send` whose answers no page of another origin may read."""

    async def send_unshared(event: Event) -> None:
        if event["type"] == "http.response.start":
            kept = [pair for pair in event.get("headers", []) if not pair[0].lower().startswith(b"access-control-")]
            event = {**event, "headers": kept}
        await send(event)

    return send_unshared


async def read_body(receive: Receive) -> bytes | None:
    """The whole body of a request, or None when the client left before it was sent."""
    parts: list[bytes] = []
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return None
        parts.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(parts)


async def _until_client_leaves(answering: Awaitable[None], receive: Receive) -> None:
    """Cancel a long poll whose client has gone, so that it takes no message with it.

    Only polls: a write whose client has gone is still done, as on AWS.
    """
    poll = asyncio.ensure_future(answering)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({poll, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if poll.done():
            await poll
    finally:
        poll.cancel()
        leaving.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _copy(source: str, target: str) -> Answer:
    try:
        copy_account(source, target)
    except CannotCopy as error:
        return _json_answer({"detail": str(error)}, status=409)
    return _json_answer({})


def _describe(mail: MailSummary) -> dict[str, str]:
    return {
        "id": mail.id,
        "account": mail.account,
        "from": mail.sent_from,
        "to": mail.to,
        "subject": mail.subject,
        "path": str(mail.path),
    }


def _json_answer(value: object, status: int = 200) -> Answer:
    return Answer(status, [(b"content-type", b"application/json")], json.dumps(value).encode())


async def _send_answer(send: Send, answer: Answer) -> None:
    length = (b"content-length", str(len(answer.body)).encode())
    await send({"type": "http.response.start", "status": answer.status, "headers": [*answer.headers, length]})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
