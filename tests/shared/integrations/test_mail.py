"""What SES's answers mean for a mail."""

from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from bbws.shared.bootstrap import aws_clients
from bbws.shared.errors import Rejected, Unavailable
from bbws.shared.integrations import aws as aws_integration
from bbws.shared.integrations.mail import MAX_MAIL_BYTES, MailFolder, MailUnsure, SesV2
from bbws.shared.settings import Settings
from tests.support.emulator import Aws

pytestmark = pytest.mark.needs("sesv2", "faults")

SEND = "POST /v2/email/outbound-emails"


def _mail(text: str = "Thank you.") -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = "shop@bbws.example", "thandi@protea.example", "Thank you"
    mail.set_content(text)
    return mail


async def _send(settings: Settings, mail: EmailMessage | None = None) -> None:
    async with aws_clients(settings) as clients:
        await SesV2(lambda: clients.get("sesv2")).send(mail or _mail(), tags={})


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "SendingPausedException", "AccountSuspendedException", "TooManyRequestsException"]
)
async def test_trouble_with_the_account_is_no_fault_of_the_mail(aws: Aws, settings: Settings, code: str) -> None:
    """One slip in a policy must not empty the mail queues into the dead letters within seconds."""
    await aws.inject("sesv2", operation=SEND, status=400, code=code)
    with pytest.raises(Unavailable) as out:
        await _send(settings)
    assert not isinstance(out.value, MailUnsure)


async def test_refused_mail_is_rejected(aws: Aws, settings: Settings) -> None:
    """What SES says of this very mail it will say again."""
    await aws.inject("sesv2", operation=SEND, status=400, code="MessageRejected")
    with pytest.raises(Rejected):
        await _send(settings)


async def test_ses_is_asked_once(aws: Aws, settings: Settings) -> None:
    """A repeat inside the SDK would be a second mail, where the first answer was only lost."""
    await aws.inject("sesv2", operation=SEND, status=503)
    with pytest.raises(Unavailable):
        await _send(settings)
    assert await aws.calls("sesv2", SEND) == 1


async def test_silence_of_ses_leaves_open_whether_the_mail_is_out(
    aws: Aws, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SES may have taken it before the connection died: whoever calls that "not sent" sends it twice at once."""
    monkeypatch.setattr(aws_integration, "MAIL_TIMEOUT_S", 0.3)
    await aws.inject("sesv2", operation=SEND, status=None, latency_ms=5_000)
    with pytest.raises(MailUnsure) as out:
        await _send(settings)
    assert out.value.dependency == "ses"
    await aws.heal()
    assert await aws.calls("sesv2", SEND) == 1


async def test_a_mail_that_never_reached_ses_is_surely_not_out(settings: Settings) -> None:
    """Nobody listens there: the next try need not wait until a lease has ended."""
    with pytest.raises(Unavailable) as out:
        await _send(settings.model_copy(update={"aws_endpoint_url": "http://127.0.0.1:9"}))
    assert not isinstance(out.value, MailUnsure)


async def test_a_mail_larger_than_ses_takes_is_rejected_before_it_is_sent(aws: Aws, settings: Settings) -> None:
    """It would be refused each time, and ten megabytes are uploaded for each refusal."""
    with pytest.raises(Rejected, match="the most that is sent"):
        await _send(settings, _mail("x" * (MAX_MAIL_BYTES + 1)))
    assert await aws.calls("sesv2", SEND) == 0


async def test_an_outage_of_ses_is_seen_by_the_ping(aws: Aws, settings: Settings) -> None:
    """A subscriber that pauses asks by it whether it may go on."""
    async with aws_clients(settings) as clients:
        ses = SesV2(lambda: clients.get("sesv2"))
        await ses.ping()
        await aws.inject("sesv2")
        with pytest.raises(Unavailable) as out:
            await ses.ping()
    assert out.value.dependency == "ses"


async def test_a_mail_in_a_folder_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full in the middle: whoever reads the folder must not find half a mail."""
    folder = MailFolder(tmp_path / "mails")
    sent = await folder.send(_mail(), tags={})
    write_bytes = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        write_bytes(path, content[: len(content) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="no space"):
        await folder.send(_mail(), tags={})
    assert [path.name for path in (tmp_path / "mails").glob("*.eml")] == [f"{sent}.eml"]
