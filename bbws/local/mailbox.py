"""A read-only mailbox in the browser for the mails that the emulator's SES accepted.

    python -m bbws.local.mailbox --mail-dir M --port 8025

A mail is somebody else's content: its HTML is shown in a sandbox without scripts, and nothing is loaded from outside.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import jinja2
from aiohttp import web

from bbws.local.mail_files import MailFiles
from bbws.local.visitors import own_hosts_only

HOST = "127.0.0.1"

_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True, undefined=jinja2.StrictUndefined
)
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'"
# Links open in a tab of their own; nothing else of the mail gets out of the sandbox.
_MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; "
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
_SAFE_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_OPEN_LINKS_OUTSIDE = '<base target="_blank">'


@dataclass(frozen=True)
class Attachment:
    number: int
    name: str
    media_type: str
    content: bytes

    @property
    def size(self) -> str:
        kib = len(self.content) / 1024
        return f"{kib:.1f} KiB" if kib >= 1 else f"{len(self.content)} bytes"


class Mailbox:
    """The handlers over one directory of mails."""

    def __init__(self, mails: MailFiles) -> None:
        self._mails = mails

    async def show_list(self, _: web.Request) -> web.Response:
        """Newest first; the page reloads itself."""
        return _page("mailbox.html", {"mails": self._mails.list()})

    async def show_mail(self, request: web.Request) -> web.Response:
        mail_id, mail = self._get(request)
        values = {
            "id": mail_id,
            "subject": mail.get("Subject", ""),
            "headers": [(name, str(value)) for name, value in mail.items()],
            "text": _body(mail, "plain"),
            "has_html": _body(mail, "html") is not None,
            "attachments": attachments_of(mail),
        }
        return _page("mailbox_mail.html", values)

    async def show_html(self, request: web.Request) -> web.Response:
        """The HTML part alone, for the sandboxed frame."""
        html = _body(self._get(request)[1], "html")
        if html is None:
            raise web.HTTPNotFound(text="This mail has no HTML part.")
        headers = {"Content-Security-Policy": _MAIL_POLICY, **_SAFE_HEADERS}
        return web.Response(text=_OPEN_LINKS_OUTSIDE + html, content_type="text/html", headers=headers)

    async def download_raw(self, request: web.Request) -> web.Response:
        mail_id = request.match_info["mail_id"]
        return _download(self._raw(request), f"{mail_id}.eml", "message/rfc822")

    async def download_attachment(self, request: web.Request) -> web.Response:
        attachments = attachments_of(self._get(request)[1])
        number = int(request.match_info["number"])
        if number >= len(attachments):
            raise web.HTTPNotFound(text="This mail has no such attachment.")
        attachment = attachments[number]
        return _download(attachment.content, attachment.name, attachment.media_type)

    def _get(self, request: web.Request) -> tuple[str, EmailMessage]:
        return request.match_info["mail_id"], message_from_bytes(self._raw(request), policy=modern)

    def _raw(self, request: web.Request) -> bytes:
        raw = self._mails.find(request.match_info["mail_id"])
        if raw is None:
            raise web.HTTPNotFound(text="There is no such mail.")
        return raw


def attachments_of(mail: EmailMessage) -> list[Attachment]:
    """The attachments in their order; one without a name is called `attachment-{number}`."""
    return [
        Attachment(number, part.get_filename() or f"attachment-{number}", part.get_content_type(), _content(part))
        for number, part in enumerate(mail.iter_attachments())
    ]


def _content(part: Any) -> bytes:
    payload: bytes | None = part.get_payload(decode=True)
    return payload or b""


def _body(mail: EmailMessage, kind: str) -> str | None:
    part = mail.get_body((kind,))
    if part is None:
        return None
    try:
        return str(part.get_content())
    except LookupError:  # a charset that Python does not know
        return _content(part).decode("utf-8", "replace")


def _download(content: bytes, name: str, media_type: str) -> web.Response:
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Type": media_type,
        "Content-Security-Policy": "sandbox; default-src 'none'",
        **_SAFE_HEADERS,
    }
    return web.Response(body=content, headers=headers)


def _page(template: str, values: Mapping[str, Any]) -> web.Response:
    html = _PAGES.get_template(template).render(values)
    headers = {"Content-Security-Policy": _PAGE_POLICY, **_SAFE_HEADERS}
    return web.Response(text=html, content_type="text/html", headers=headers)


def create_app(mail_dir: Path, own_names: Collection[str] = ()) -> web.Application:
    """The mailbox as an aiohttp application; it only reads the directory, which need not exist yet.

    It answers to addresses, `localhost` and `own_names`.
    """
    mailbox = Mailbox(MailFiles(mail_dir))
    app = web.Application(middlewares=[own_hosts_only(own_names)])
    app.add_routes(
        [
            web.get("/", mailbox.show_list),
            web.get("/mails/{mail_id}", mailbox.show_mail),
            web.get("/mails/{mail_id}/html", mailbox.show_html),
            web.get("/mails/{mail_id}/raw", mailbox.download_raw),
            web.get(r"/mails/{mail_id}/attachments/{number:\d{1,4}}", mailbox.download_attachment),
        ]
    )
    return app


@click.command()
@click.option("--mail-dir", type=click.Path(path_type=Path), required=True)
@click.option("--port", type=int, default=8025, show_default=True)
def main(mail_dir: Path, port: int) -> None:
    """Show the mails of a directory on 127.0.0.1 until SIGTERM."""
    web.run_app(create_app(mail_dir), host=HOST, port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
