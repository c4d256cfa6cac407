"""The address that mails are sent from."""

from email.utils import parseaddr

from bbws.shared.aws_errors import find_or_none
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.settings import Settings


async def verify_sender(clients: AwsClients, settings: Settings) -> None:
    """Emulators refuse a sender that is not verified, and verify at once; on AWS a person does that."""
    address = parseaddr(settings.mail_from)[1]
    if settings.mail_transport == "sesv2":
        sesv2 = await clients.get("sesv2")
        if await find_or_none(sesv2.get_email_identity, EmailIdentity=address) is None:
            await sesv2.create_email_identity(EmailIdentity=address)
    elif settings.mail_transport == "ses":
        await (await clients.get("ses")).verify_email_identity(EmailAddress=address)
