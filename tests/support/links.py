"""Mailed links, as their reader finds them."""

import re
from email.message import EmailMessage

from tests.support.emulator import Aws

_LINK = re.compile(r"http\S+/registration\?token=\S+")


async def mails_to(aws: Aws, email: str) -> list[EmailMessage]:
    """What the account sent to an address, oldest first."""
    return [mail for mail in await aws.mails() if str(mail["To"]).lower() == email.lower()]


def link_in(mail: EmailMessage) -> str:
    """The one link of a registration mail; it is the same in the text and in the HTML."""
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    (link,) = _LINK.findall(text.get_content())
    assert html.get_content().count(f'href="{link}"') == 2
    return str(link)


def token_in(mail: EmailMessage) -> str:
    return link_in(mail).partition("?token=")[2]
