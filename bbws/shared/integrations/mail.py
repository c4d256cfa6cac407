"""Mail leaves through Amazon SES (v2, or v1 where a target offers no v2), or into a folder."""

import asyncio
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError
from email_validator import EmailNotValidError, validate_email

from bbws.shared.aws_errors import cause, error_code, unavailable
from bbws.shared.errors import Rejected, Unavailable
from bbws.shared.ids import new_id

# SESv2 takes 40 MB once encoded, v1 10 MB (SES quotas); the smaller one keeps both transports interchangeable.
MAX_MAIL_BYTES = 10 * 1024 * 1024
# What SES says of this very mail; no other mail will fare so.
_REFUSALS = frozenset({"MessageRejected", "BadRequestException", "InvalidParameterValue", "ValidationError"})


class MailTransport(Protocol):
    async def send(self, mail: EmailMessage, *, tags: dict[str, str]) -> str:
        """SES has taken the mail; returns its message id. Raises Unavailable (later) or Rejected (never)."""

    async def ping(self) -> None:
        """Raises Unavailable when no mail can be handed over."""


class SesV2:
    def __init__(self, client: Callable[[], Awaitable[Any]]) -> None:
        self._client = client

    async def send(self, mail: EmailMessage, *, tags: dict[str, str]) -> str:
        answer = await _call(
            self._client,
            "send_email",
            FromEmailAddress=str(mail["From"]),
            Destination={"ToAddresses": _recipients(mail)},
            Content={"Raw": {"Data": _bytes(mail)}},
            EmailTags=[{"Name": name, "Value": value} for name, value in tags.items()],
        )
        return str(answer["MessageId"])

    async def ping(self) -> None:
        await _ping(self._client, "get_account")


class Ses:
    """Version 1 of the API: LocalStack offers it without a licence."""

    def __init__(self, client: Callable[[], Awaitable[Any]]) -> None:
        self._client = client

    async def send(self, mail: EmailMessage, *, tags: dict[str, str]) -> str:
        answer = await _call(
            self._client,
            "send_raw_email",
            Source=str(mail["From"]),
            Destinations=_recipients(mail),
            RawMessage={"Data": _bytes(mail)},
            Tags=[{"Name": name, "Value": value} for name, value in tags.items()],
        )
        return str(answer["MessageId"])

    async def ping(self) -> None:
        await _ping(self._client, "get_send_quota")


class MailFolder:
    """Writes `.eml` files; a mail is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, mail: EmailMessage, *, tags: dict[str, str]) -> str:  # noqa: ARG002 - as the protocol has it
        message_id = new_id()
        await asyncio.to_thread(self._write, message_id, _bytes(mail))
        return message_id

    async def ping(self) -> None:
        return None

    def _write(self, message_id: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f".{message_id}.tmp"
        unfinished.write_bytes(content)
        unfinished.rename(self._folder / f"{message_id}.eml")


def ascii_address(address: str) -> str:
    """The address with its domain as punycode: SES and older mail servers take no other. Raises Rejected."""
    try:
        written = validate_email(address, check_deliverability=False).ascii_email
    except EmailNotValidError as error:
        raise Rejected(f"SES cannot reach this address: {error}") from None
    if written is None:
        raise Rejected("SES cannot reach an address with letters beyond ASCII before the @")
    return written


def literal_header(text: str) -> str:
    """A header's text that stays text: `EmailMessage` decodes what looks like an encoded word, line breaks and all,
    so that a customer named `=?utf-8?q?=0D=0ABcc:...?=` would write headers of his own."""
    return text.replace("=?", "= ?")


def _recipients(mail: EmailMessage) -> list[str]:
    return [address.addr_spec for address in mail["To"].addresses]


def _bytes(mail: EmailMessage) -> bytes:
    content = mail.as_bytes()
    if len(content) > MAX_MAIL_BYTES:
        raise Rejected(f"the mail has {len(content)} bytes; {MAX_MAIL_BYTES} is the most that is sent")
    return content


class MailUnsure(Unavailable):
    """SES was asked and gave no answer: the mail may be out."""


async def _call(client: Callable[[], Awaitable[Any]], operation: str, **request: Any) -> Any:
    try:
        return await getattr(await client(), operation)(**request)
    except ClientError as error:
        if error_code(error) in _REFUSALS:
            raise Rejected(f"SES refuses this mail: {error}") from error
        # Also a suspended account, a missing right, a paused sender: not this mail's fault, and mended elsewhere.
        raise Unavailable("ses", cause(error)) from error
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise Unavailable("ses", cause(error)) from error
    except Exception as error:
        if unavailable(error):
            raise MailUnsure("ses", cause(error)) from error
        raise


async def _ping(client: Callable[[], Awaitable[Any]], operation: str) -> None:
    try:
        await getattr(await client(), operation)()
    except Exception as error:
        raise Unavailable("ses", cause(error)) from error
