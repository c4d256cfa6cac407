from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from yarl import URL

from bbws.local.mailbox import create_app

_ID = "20261121T101500000000Z-abc@email.amazonses.com"
_EVIL = '<script>alert("x")</script>'


def _mail(subject: str, *, html: str | None = None) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@bbws.test", "zoe@example.test", subject
    mail.set_content(f"Hello {_EVIL}\n")
    if html is not None:
        mail.add_alternative(html, subtype="html")
    mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="Rechnung „1“\r\n.pdf")
    return mail


class Browser:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def get(self, path: str) -> tuple[aiohttp.ClientResponse, bytes]:
        # Not decoded and normalised by the client: the server must cope with what is sent.
        url = URL(self._url + path, encoded=True)
        async with self._session.get(url) as answer:
            return answer, await answer.read()


@pytest.fixture
def mail_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "mails"
    directory.mkdir()
    (directory / f"{_ID}.eml").write_bytes(_mail(f"Invoice {_EVIL}", html=f"<p>Paid</p>{_EVIL}").as_bytes())
    return directory


@pytest.fixture
async def browser(mail_dir: Path) -> AsyncIterator[Browser]:
    async with TestServer(create_app(mail_dir)) as server, aiohttp.ClientSession() as session:
        yield Browser(str(server.make_url("")).rstrip("/"), session)


async def test_the_newest_mail_is_first(browser: Browser, mail_dir: Path) -> None:
    """Whoever tries the shop looks for the mail that just came."""
    (mail_dir / "20261121T101600000000Z-def.eml").write_bytes(_mail("Later").as_bytes())
    (mail_dir / ".20261121T101700000000Z-ghi.eml.tmp").write_bytes(b"half a ma")
    _, body = await browser.get("/")
    html = body.decode()
    assert html.index("Later") < html.index("Invoice")
    assert 'http-equiv="refresh"' in html
    assert "ghi" not in html


async def test_an_empty_mailbox_says_so(tmp_path: Path) -> None:
    """The mailbox is up before the first mail, and before its directory."""
    async with TestServer(create_app(tmp_path / "none")) as server, aiohttp.ClientSession() as session:
        assert b"No mail yet" in (await Browser(str(server.make_url("")).rstrip("/"), session).get("/"))[1]


async def test_what_a_mail_says_is_never_markup_of_the_page(browser: Browser) -> None:
    """Subjects and names come from customers."""
    for path in ("/", f"/mails/{_ID}"):
        answer, body = await browser.get(path)
        assert answer.status == 200
        assert _EVIL.encode() not in body
        assert b"&lt;script&gt;" in body
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_the_html_part_is_locked_into_a_sandbox(browser: Browser) -> None:
    """A mail's HTML must neither run scripts nor load anything, in the frame and on its own."""
    answer, body = await browser.get(f"/mails/{_ID}/html")
    assert b"<p>Paid</p>" in body
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-popups")
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy
    _, page = await browser.get(f"/mails/{_ID}")
    assert b'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page


async def test_an_attachment_is_downloaded_as_it_was_sent(browser: Browser) -> None:
    """The invoice must arrive whole, and its name must not break out of the header."""
    answer, body = await browser.get(f"/mails/{_ID}/attachments/0")
    assert body == b"%PDF-1.7"
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''Rechnung%20%E2%80%9E1")
    assert (await browser.get(f"/mails/{_ID}/attachments/1"))[0].status == 404


async def test_the_raw_mail_is_the_file(browser: Browser, mail_dir: Path) -> None:
    """The raw mail is the proof of what was sent."""
    _, body = await browser.get(f"/mails/{_ID}/raw")
    assert body == (mail_dir / f"{_ID}.eml").read_bytes()


@pytest.mark.parametrize(
    "mail_id", ["..%2Fsecret", "..%2f..%2fetc%2fpasswd", "%2Fetc%2Fpasswd", ".secret", "..", "unknown", "a%00b"]
)
async def test_nothing_outside_the_directory_is_shown(browser: Browser, mail_dir: Path, mail_id: str) -> None:
    """Mails lie beside the state of the whole local system."""
    (mail_dir.parent / "secret.eml").write_bytes(b"Subject: secret\n\nsecret")
    for suffix in ("", "/raw", "/html", "/attachments/0"):
        answer, body = await browser.get(f"/mails/{mail_id}{suffix}")
        assert answer.status == 404
        assert b"Subject: secret" not in body


async def test_a_mail_in_an_unknown_charset_is_still_shown(browser: Browser, mail_dir: Path) -> None:
    """One odd mail must not be an error page."""
    raw = b"Subject: odd\nContent-Type: text/plain; charset=x-unknown\n\nZo\xc3\xab"
    (mail_dir / "odd.eml").write_bytes(raw)
    answer, body = await browser.get("/mails/odd")
    assert answer.status == 200
    assert "Zoë".encode() in body


async def test_foreign_names_of_this_machine_are_refused(mail_dir: Path) -> None:
    """A site that points its own name here would read customers' mails as if they were its own pages."""
    async with TestServer(create_app(mail_dir, {"mailbox"})) as server, aiohttp.ClientSession() as session:
        for host, status in (("rebound.evil.example", 421), ("mailbox:8025", 200), ("localhost", 200)):
            async with session.get(server.make_url("/"), headers={"Host": host}) as answer:
                assert (host, answer.status) == (host, status)
