"""Mails, each sent once as far as SES allows it (C-38).

A mail is claimed with a lease before SES is asked, and marked SENT after. SES knows no idempotency key, so a crash in
the moment between SES's answer and our mark sends the mail again once the lease has ended: at least once.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP

from bbws.shared.clock import Clock
from bbws.shared.contracts.base import Contract
from bbws.shared.core.mail_claims import MailPlace, MailRepository
from bbws.shared.dynamo.database import Database
from bbws.shared.errors import BbwsError, NotYet
from bbws.shared.integrations.mail import MailTransport, MailUnsure, literal_header
from bbws.shared.logging import get_logger
from bbws.shared.settings import Settings
from bbws.shared.templating import Templates

log = get_logger(__name__)


class MailUnderWay(NotYet):
    """Another process is sending this mail, or died over it; after `retry_after_s` the lease has ended."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the template is rendered from, and the PDFs that go along, each under its name."""

    context: Contract
    attachments: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mail:
    """`kind` names the template; `place` is where it stands whether this mail was sent."""

    kind: str
    place: MailPlace
    recipients: tuple[str, ...]
    headers: Mapping[str, str]
    tags: Mapping[str, str]


class Mailer:
    def __init__(
        self, database: Database, clock: Clock, settings: Settings, templates: Templates, transport: MailTransport
    ) -> None:
        self._mails = MailRepository(database)
        self._clock = clock
        self._settings = settings
        self._templates = templates
        self._transport = transport

    async def send_once(self, mail: Mail, content: Callable[[], Awaitable[Content]]) -> None:
        """The mail is sent; a repeat sends none, and does not ask for its content.

        Raises MailUnderWay while another process is at it.
        """
        now = self._clock()
        lease_until = now + timedelta(seconds=self._settings.mail_lease_s)
        if not await self._mails.claim(mail.place, mail.kind, now=now, lease_until=lease_until):
            return await self._leave_to_the_other(mail)
        try:
            message_id = await self._transport.send(await self._composed(mail, await content()), tags=dict(mail.tags))
        except MailUnsure:
            # SES may have it: only when the lease has ended it is sent again.
            raise
        except BbwsError:
            # Nothing was sent: whoever comes next need not wait for the lease to end.
            await self._mails.release(mail.place, now=self._clock(), lease_until=lease_until)
            raise
        sent_to = ", ".join(mail.recipients)
        await self._mails.sent(mail.place, message_id=message_id, recipients=sent_to, now=self._clock())
        log.info("mail sent", kind=mail.kind, ses_message_id=message_id)
        return None

    async def _leave_to_the_other(self, mail: Mail) -> None:
        record = await self._mails.find(mail.place)
        if record is None or not record.sent:
            wait_s = self._settings.mail_lease_s if record is None else record.lease_left_s(self._clock())
            raise MailUnderWay(f"{mail.kind} is being sent by another process", max(wait_s, 1))

    async def _composed(self, mail: Mail, content: Content) -> EmailMessage:
        text = await self._templates.render_mail(f"notifications/{mail.kind}.html", content.context)
        message = EmailMessage(policy=SMTP)
        message["From"] = self._settings.mail_from
        message["To"] = ", ".join(mail.recipients)
        message["Subject"] = literal_header(text.subject)
        message["Auto-Submitted"] = "auto-generated"
        message["X-BBWS-Mail"] = mail.kind
        for name, value in mail.headers.items():
            message[name] = value
        message.set_content(text.text)
        message.add_alternative(text.html, subtype="html")
        for name, pdf in content.attachments.items():
            message.add_attachment(pdf, maintype="application", subtype="pdf", filename=name)
        return message
