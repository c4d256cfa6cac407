"""What SES's answers mean for a mail."""

from email.message import EmailMessage
from email.policy import SMTP

import pytest

from bbws.shared.bootstrap import aws_clients
from bbws.shared.errors import Rejected, Unavailable
from bbws.shared.integrations.mail import MailUnsure, SesV2
from bbws.shared.settings import Settings
from tests.support.emulator import Aws

pytestmark = pytest.mark.needs("sesv2", "faults")

SEND = "POST /v2/email/outbound-emails"


def _mail() -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = "shop@bbws.example", "thandi@protea.example", "Thank you"
    mail.set_content("Thank you.")
    return mail


async def _send(settings: Settings) -> None:
    async with aws_clients(settings) as clients:
        await SesV2(lambda: clients.get("sesv2")).send(_mail(), tags={})


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
