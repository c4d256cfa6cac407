"""What an error of a handler means for its message (C-36, C-37)."""

import pytest
from faststream.exceptions import RejectMessage
from pydantic import ValidationError

from bbws.consumers.middlewares import verdict
from bbws.shared.contracts.sales.order_events import OrderCreated
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.core.items import BrokenItem, model_of
from bbws.shared.core.mailing import MailUnderWay
from bbws.shared.errors import Conflict, Dependency, Invalid, NotFound, Ping, Rejected, Unavailable
from bbws.shared.sqs import PauseSubscriber, ReturnMessage


async def _ping_s3() -> None: ...


async def _ping_ses() -> None: ...


PINGS: dict[str, Ping] = {"s3": _ping_s3, "ses": _ping_ses}


@pytest.mark.parametrize("refused", [NotFound("no order 1"), Conflict("taken"), Invalid("bad"), Rejected("never")])
def test_what_can_never_work_is_rejected_with_its_reason(refused: Rejected) -> None:
    """Three tries of what cannot work only hide the reason for longer."""
    judged = verdict(refused, PINGS.get)
    assert isinstance(judged, RejectMessage)
    assert judged.extra_options["reason"] == f"{refused.title}: {refused.detail}"


def test_unparseable_message_names_fields_not_values() -> None:
    """The reason is shown to operators and kept for 14 days: it must tell what is wrong without personal data."""
    with pytest.raises(ValidationError) as wrong:
        OrderCreated.model_validate({"id": "thandi@protea.example", "data": {"order": {"customerEmail": "secret"}}})
    judged = verdict(wrong.value, PINGS.get)
    assert isinstance(judged, RejectMessage)
    reason = judged.extra_options["reason"]
    assert "data.order.customerEmail: " in reason
    assert "id: " in reason
    assert "thandi" not in reason
    assert "secret" not in reason


def test_a_message_with_everything_wrong_has_a_short_reason() -> None:
    """A quarter of a megabyte has room for a hundred thousand errors, or for one in a field with a very long name."""
    items = [{"x" * 10_000: 0}, *[0] * 100_000]
    with pytest.raises(ValidationError) as wrong:
        OrderCreated.model_validate({"data": {"order": {"items": items}}})
    judged = verdict(wrong.value, PINGS.get)
    assert isinstance(judged, RejectMessage)
    reason = judged.extra_options["reason"]
    assert len(reason) < 10_000
    assert reason.endswith(f"; and {wrong.value.error_count() - 20} more")


@pytest.mark.parametrize("dependency", ["s3", "ses"])
def test_outage_pauses_until_that_dependency_answers(dependency: Dependency) -> None:
    """The ping is the one of what is out; anything else would open the subscriber too soon, or never."""
    judged = verdict(Unavailable(dependency, "SlowDown"), PINGS.get)
    assert isinstance(judged, PauseSubscriber)
    assert judged.probe is PINGS[dependency]
    assert judged.delay >= 30
    assert dependency in judged.reason


def test_what_is_not_yet_comes_again_and_counts_as_no_attempt() -> None:
    """Three meetings with another sender's lease must not bury a good message."""
    judged = verdict(MailUnderWay("order_confirmation_customer is being sent", 25), PINGS.get)
    assert isinstance(judged, ReturnMessage)
    assert judged.delay == 25


def test_outage_of_what_cannot_be_asked_returns_the_message_uncounted() -> None:
    """Without a ping nobody could say when to go on; the other messages may not need that dependency at all."""
    judged = verdict(Unavailable("secretsmanager", "down"), PINGS.get)
    assert isinstance(judged, ReturnMessage)
    assert judged.delay >= 30


def test_broken_stored_item_is_no_fault_of_the_message() -> None:
    """Only what the message itself says wrongly is rejected at once; our own data may be mended meanwhile."""
    with pytest.raises(BrokenItem) as broken:
        model_of(Payment, {"PK": "TENANT#1", "SK": "PAYMENT#1", "amountCents": "secret"})
    assert verdict(broken.value, PINGS.get) is broken.value
    assert "TENANT#1 | PAYMENT#1" in str(broken.value)
    assert "secret" not in str(broken.value)


def test_anything_else_is_a_failed_attempt() -> None:
    """A bug keeps its own type and text, for the log and for the dead letter."""
    bug = RuntimeError("division by cucumber")
    assert verdict(bug, PINGS.get) is bug
