"""A mail and its record: claimed before it is sent, marked after, and what happens between the two (C-38)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from typing import Any, cast

import pytest

from bbws.shared.contracts.documents import OrderDocument
from bbws.shared.core.mail_claims import MailPlace
from bbws.shared.core.mailing import Content, Mail, Mailer, MailUnderWay
from bbws.shared.dynamo.database import Database, Delete
from bbws.shared.dynamo.keys import ORDERS
from bbws.shared.errors import BbwsError, Rejected, Unavailable
from bbws.shared.integrations.mail import MailUnsure
from bbws.shared.settings import Settings
from bbws.shared.templating import Templates
from tests.support.builders import a_paid_order, a_seller
from tests.support.clock import HandClock

pytestmark = pytest.mark.needs("dynamodb")
KEY = ("TENANT#1#ORDER#2", "EMAIL#order_confirmation_customer")
LEASE = timedelta(seconds=Settings().mail_lease_s)
MOMENT = timedelta(milliseconds=1)


@dataclass(frozen=True)
class _Text:
    subject: str = "Your order"
    text: str = "Thank you."
    html: str = "<p>Thank you.</p>"


class _Templates:
    async def render_mail(self, name: str, context: Any) -> _Text:
        return _Text()


class _Ses:
    """Does what a test says when it is handed a mail, and keeps what it took."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.fails: Exception | None = None
        self.looks: Callable[[], Awaitable[Any]] | None = None
        self.saw: Any = None

    async def send(self, mail: EmailMessage, *, tags: dict[str, str]) -> str:
        self.saw = await self.looks() if self.looks else None
        if not isinstance(self.fails, BbwsError) or isinstance(self.fails, MailUnsure):
            self.taken.append(mail)
        if self.fails:
            raise self.fails
        return f"ses-{len(self.taken)}"

    async def ping(self) -> None:
        pass


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def ses() -> _Ses:
    return _Ses()


@pytest.fixture
def mailer(database: Database, clock: HandClock, ses: _Ses) -> Mailer:
    return Mailer(database, clock, Settings(), cast(Templates, _Templates()), ses)


def _mail(place: MailPlace | None = None) -> Mail:
    return Mail("order_confirmation_customer", place or MailPlace(ORDERS, KEY), ("thandi@protea.example",), {}, {})


async def _content() -> Content:
    return Content(OrderDocument(order=a_paid_order(), seller=a_seller(), order_url="https://bbws.example"))


async def _send(mailer: Mailer) -> None:
    await mailer.send_once(_mail(), _content)


async def test_a_mail_is_claimed_before_it_is_sent_and_marked_after(
    mailer: Mailer, database: Database, ses: _Ses
) -> None:
    """Marked before, a crash would lose it; claimed after, every redelivery would send it."""
    ses.looks = lambda: database.find(ORDERS, KEY)
    await _send(mailer)
    assert ses.saw["state"] == "SENDING"
    stored = await database.find(ORDERS, KEY) or {}
    assert (stored["state"], stored["messageId"], stored["recipients"]) == ("SENT", "ses-1", "thandi@protea.example")


async def test_what_was_sent_is_never_composed_again(mailer: Mailer, ses: _Ses, clock: HandClock) -> None:
    """A repeat a week later reads no invoice and makes no token: it is done."""
    await _send(mailer)
    clock.move(timedelta(days=7))

    async def never() -> Content:
        raise AssertionError("nobody needs the content")

    await mailer.send_once(_mail(), never)
    assert len(ses.taken) == 1


@pytest.mark.parametrize(
    "failure",
    [MailUnsure("ses", "ReadTimeoutError"), KeyError("MessageId")],
    ids=["no answer", "an answer that nobody understands"],
)
async def test_a_mail_that_may_be_out_waits_for_its_lease(
    mailer: Mailer, ses: _Ses, clock: HandClock, failure: Exception
) -> None:
    """SES may have it: what is tried again at once is in the customer's inbox twice, and three times."""
    ses.fails = failure
    with pytest.raises(type(failure)):
        await _send(mailer)
    ses.fails = None
    clock.move(LEASE - MOMENT)
    with pytest.raises(MailUnderWay):
        await _send(mailer)
    clock.move(MOMENT)
    await _send(mailer)
    assert len(ses.taken) == 2


@pytest.mark.parametrize("failure", [Unavailable("ses", "Throttling"), Rejected("MessageRejected")])
async def test_a_mail_that_is_surely_not_out_waits_for_nobody(mailer: Mailer, ses: _Ses, failure: Exception) -> None:
    """After an outage, or once an operator sends it back: nobody holds it, so nobody need wait."""
    ses.fails = failure
    with pytest.raises(type(failure)):
        await _send(mailer)
    ses.fails = None
    await _send(mailer)
    assert len(ses.taken) == 1


@pytest.mark.parametrize("left", [timedelta(seconds=20), MOMENT])
async def test_who_meets_the_sender_is_told_when_to_come_again(
    mailer: Mailer, ses: _Ses, clock: HandClock, left: timedelta
) -> None:
    """A pause of nothing, at the very end of the lease, would be a message that comes a thousand times a second."""
    ses.fails = MailUnsure("ses", "ReadTimeoutError")
    with pytest.raises(MailUnsure):
        await _send(mailer)
    clock.move(LEASE - left)
    with pytest.raises(MailUnderWay) as under_way:
        await _send(mailer)
    assert under_way.value.retry_after_s == max(left.total_seconds(), 1)


async def test_a_record_that_goes_while_it_is_looked_at_is_waited_for(
    mailer: Mailer, database: Database, ses: _Ses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB forgets old records at any moment; the next try finds none and sends."""
    ses.fails = MailUnsure("ses", "ReadTimeoutError")
    with pytest.raises(MailUnsure):
        await _send(mailer)
    find = Database.find

    async def forgotten(asked: Database, table: str, key: tuple[str, str]) -> Any:
        await database.write(Delete(table, key))
        return await find(asked, table, key)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "find", forgotten)
        with pytest.raises(MailUnderWay) as under_way:
            await _send(mailer)
    assert under_way.value.retry_after_s == LEASE.total_seconds()
    ses.fails = None
    await _send(mailer)


async def test_a_record_is_forgotten_when_its_place_says_so(
    mailer: Mailer, database: Database, clock: HandClock
) -> None:
    """Registrations of strangers must not stay for ever; what was sent for an order stays with the order."""
    forgotten_at = clock() + timedelta(days=30)
    event = ("EMAIL#1", "METADATA")
    await mailer.send_once(_mail(MailPlace(ORDERS, event, forgotten_at)), _content)
    await _send(mailer)
    assert (await database.find(ORDERS, event) or {})["expiresAt"] == int(forgotten_at.timestamp())
    assert "expiresAt" not in (await database.find(ORDERS, KEY) or {})
