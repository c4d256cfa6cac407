"""Mails as files, which others list while they are written."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from bbws.local.emulator_requests import AwsRequest
from bbws.local.mail_files import MailFiles

_SENT = AwsRequest(
    "POST",
    "/v2/email/outbound-emails",
    "sesv2",
    "123456789012",
    "POST /v2/email/outbound-emails",
    b'{"FromEmailAddress": "shop@bbws.example", "Destination": {"ToAddresses": ["thandi@protea.example"]},'
    b' "Content": {"Simple": {"Subject": {"Data": "Paid"}, "Body": {"Text": {"Data": "Thank you"}}}}}',
)
_ACCEPTED = b'{"MessageId": "0100-1"}'


def test_a_mail_is_listed_once_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mailbox that reads half a mail shows a customer's invoice as broken, or fails at its headers."""

    def die(*_: object) -> NoReturn:
        raise OSError("the process ended")

    mails = MailFiles(tmp_path)
    with monkeypatch.context() as cut_off:
        cut_off.setattr(os, "replace", die)
        with pytest.raises(OSError, match="the process ended"):
            mails.capture(_SENT, _ACCEPTED)
    assert mails.list() == []
    mails.capture(_SENT, _ACCEPTED)
    assert [(mail.to, mail.subject) for mail in mails.list()] == [("thandi@protea.example", "Paid")]
