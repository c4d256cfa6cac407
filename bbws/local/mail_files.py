"""Mails that the emulator's SES accepted, one `.eml` file each, exactly as they were sent."""

import base64
import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from email.policy import default as modern
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from bbws.local.emulator_requests import AwsRequest

ACCOUNT_HEADER = "X-SES-Account"
MESSAGE_ID_HEADER = "X-SES-Message-Id"
DESTINATIONS_HEADER = "X-SES-Destinations"

_NAME = re.compile(r"[A-Za-z0-9._@-]+\.eml")
_UNSAFE = re.compile(r"[^A-Za-z0-9._@-]")
_MESSAGE_ID = re.compile(rb'<MessageId>([^<]+)</MessageId>|"MessageId"\s*:\s*"([^"]+)"')


@dataclass(frozen=True)
class MailSummary:
    """The headers of one stored mail; `id` is the name of its file without `.eml`, sortable by time."""

    id: str
    account: str
    sent_from: str
    to: str
    subject: str
    accepted_at: datetime
    path: Path

    @classmethod
    def of(cls, path: Path, headers: Message) -> "MailSummary":
        return cls(
            id=path.stem,
            account=str(headers.get(ACCOUNT_HEADER, "")),
            sent_from=str(headers.get("From", "")),
            to=str(headers.get("To") or headers.get(DESTINATIONS_HEADER, "")),
            subject=str(headers.get("Subject", "")),
            accepted_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            path=path,
        )


class MailFiles:
    """A directory of `.eml` files; a file is complete as soon as it is listed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def capture(self, request: AwsRequest, answer: bytes) -> None:
        """Store the mail of a send that SES accepted; other requests and template mails leave nothing."""
        message_id = _message_id_of(answer)
        sent = _mail_of(request)
        if sent is None or message_id is None:
            return
        raw, destinations = sent
        added = {MESSAGE_ID_HEADER: message_id, ACCOUNT_HEADER: request.account}
        if destinations:
            added[DESTINATIONS_HEADER] = ", ".join(destinations)
        self._write(_file_name(message_id), _with_headers(raw, added))

    def list(self, account: str | None = None) -> list[MailSummary]:
        """The stored mails of one account or of all, newest first."""
        summaries = [_summary(path) for path in sorted(self._directory.glob("*.eml"), reverse=True)]
        return [summary for summary in summaries if account in (None, summary.account)]

    def find(self, mail_id: str) -> bytes | None:
        """The raw mail; None for an id that is unknown or not the plain name of a mail."""
        name = f"{mail_id}.eml"
        path = self._directory / name
        return path.read_bytes() if _NAME.fullmatch(name) and path.is_file() else None

    def _write(self, name: str, raw: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        unfinished = self._directory / f".{name}.tmp"
        unfinished.write_bytes(raw)
        os.replace(unfinished, self._directory / name)  # noqa: PTH105


def _summary(path: Path) -> MailSummary:
    with path.open("rb") as file:
        return MailSummary.of(path, BytesHeaderParser(policy=modern).parse(file))


def _file_name(message_id: str) -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{_UNSAFE.sub('_', message_id)}.eml"


def _message_id_of(answer: bytes) -> str | None:
    found = _MESSAGE_ID.search(answer)
    return (found[1] or found[2]).decode() if found else None


def _with_headers(raw: bytes, added: dict[str, str]) -> bytes:
    newline = "\r\n" if b"\r\n" in raw else "\n"
    lines = [f"{name}: {' '.join(value.split())}{newline}" for name, value in added.items()]
    return "".join(lines).encode() + raw


def _mail_of(request: AwsRequest) -> tuple[bytes, list[str]] | None:
    """The raw MIME of a send and the addresses of its envelope."""
    if request.service == "sesv2" and request.operation == "POST /v2/email/outbound-emails":
        return _mail_of_v2(json.loads(request.body))
    if request.service == "ses" and request.operation in ("SendEmail", "SendRawEmail"):
        return _mail_of_v1(request.operation, parse_qs(request.body.decode()))
    return None


def _mail_of_v2(sent: dict[str, Any]) -> tuple[bytes, list[str]] | None:
    envelope = sent.get("Destination", {})
    to, cc, bcc = (envelope.get(f"{kind}Addresses", []) for kind in ("To", "Cc", "Bcc"))
    content = sent.get("Content", {})
    if raw := content.get("Raw"):
        return base64.b64decode(raw["Data"]), [*to, *cc, *bcc]
    if simple := content.get("Simple"):
        body = {kind: simple["Body"].get(kind, {}).get("Data") for kind in ("Text", "Html")}
        subject = simple["Subject"]["Data"]
        return _compose(sent.get("FromEmailAddress", ""), to, cc, subject, body["Text"], body["Html"]), [*to, *cc, *bcc]
    return None


def _mail_of_v1(operation: str, form: dict[str, list[str]]) -> tuple[bytes, list[str]]:
    def one(name: str) -> str | None:
        return next(iter(form.get(name, [])), None)

    if operation == "SendRawEmail":
        return base64.b64decode(one("RawMessage.Data") or ""), _members(form, "Destinations")
    to, cc, bcc = (_members(form, f"Destination.{kind}Addresses") for kind in ("To", "Cc", "Bcc"))
    text, html = one("Message.Body.Text.Data"), one("Message.Body.Html.Data")
    return _compose(one("Source") or "", to, cc, one("Message.Subject.Data") or "", text, html), [*to, *cc, *bcc]


def _members(form: dict[str, list[str]], name: str) -> list[str]:
    return [values[0] for key, values in form.items() if key.startswith(f"{name}.member.")]


def _compose(sent_from: str, to: list[str], cc: list[str], subject: str, text: str | None, html: str | None) -> bytes:
    mail = EmailMessage()
    for name, value in {"From": sent_from, "To": ", ".join(to), "Cc": ", ".join(cc), "Subject": subject}.items():
        if value:
            mail[name] = value
    mail["Date"] = datetime.now(UTC)
    if text is not None:
        mail.set_content(text)
    if html is not None:
        mail.add_alternative(html, subtype="html") if text is not None else mail.set_content(html, subtype="html")
    return mail.as_bytes()
