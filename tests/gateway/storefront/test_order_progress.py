"""An order's story as its customer sees it."""

import pytest

from bbws.gateway.storefront.order_progress import Progress, progress
from bbws.shared.contracts.sales.orders import Order, OrderStatus, TimelineEntry, TimelineKind
from tests.support.builders import PLACED_AT, a_paid_order, an_order

MAILS = ("order_confirmation", "payment_confirmation")


def _entry(entry_id: str, kind: TimelineKind) -> TimelineEntry:
    return TimelineEntry(id=entry_id, kind=kind, at=PLACED_AT, text=entry_id)


def _mails(audience: str) -> list[TimelineEntry]:
    return [_entry(f"mail.{name}_{audience}", "MAIL_SENT") for name in MAILS]


def _states(shown: Progress) -> list[str]:
    return [step.state for step in shown.steps]


def _told(order: Order, *entries: TimelineEntry) -> Progress:
    return progress(order, (_entry("placed", "ORDER_PLACED"), *entries))


def test_steps_are_done_one_after_the_other() -> None:
    """There is one current step, which says what is awaited, and none at the end."""
    notice, invoice = _entry("itn", "PAYMENT_NOTICE"), _entry("invoice", "INVOICE_ISSUED")
    paid, everything = a_paid_order(), [notice, invoice, *_mails("customer"), *_mails("internal")]
    assert _states(_told(an_order())) == ["done", "current", "waiting", "waiting"]
    assert _states(_told(paid, notice)) == ["done", "done", "current", "waiting"]
    assert _states(_told(paid, notice, invoice)) == ["done", "done", "done", "current"]
    assert _states(_told(paid, *everything)) == ["done"] * 4
    assert [_told(paid, *everything[:-1]).finished, _told(paid, *everything).finished] == [False, True]


def test_payfasts_word_counts_before_the_booking() -> None:
    """A customer who has just paid must not be asked to pay again in the moments until it is booked."""
    notice = _entry("itn", "PAYMENT_NOTICE")
    confirming, booked = _told(an_order(), notice), _told(a_paid_order(), notice)
    assert (confirming.confirming, confirming.paid, _states(confirming)[1]) == (True, False, "done")
    assert (booked.confirming, booked.paid) == (False, True)
    refused = _told(an_order(), _entry("itn", "PAYMENT_NOTICE_REFUSED"))
    assert (refused.confirming, _states(refused)[1]) == (False, "current")


def test_newest_comes_first_and_the_teams_mails_not_at_all() -> None:
    """What somebody looks for is at the top; what the team was told is not theirs to read."""
    shown = _told(a_paid_order(), *_mails("customer"), *_mails("internal"))
    assert [entry.id for entry in shown.entries] == [
        "mail.payment_confirmation_customer", "mail.order_confirmation_customer", "placed",
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["CANCELLED", "REFUNDED"])
def test_an_order_that_is_over_is_watched_no_longer(status: OrderStatus) -> None:
    """Nothing more will come, and each open page would ask for ever."""
    assert _told(an_order().model_copy(update={"status": status})).finished
    assert not _told(an_order()).finished
