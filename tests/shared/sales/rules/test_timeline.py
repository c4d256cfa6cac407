"""An order's story from what stands beside it: what happened, to whom it may be told, and nothing that did not."""

from datetime import timedelta
from typing import Any

import pytest

from bbws.shared.clock import iso
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.core.items import item_of
from bbws.shared.dynamo.codec import Item
from bbws.shared.sales.rules.timeline import timeline
from tests.support.builders import PAID_AT, a_paid_order, a_payment, an_invoice

ORDER = a_paid_order()
PLACE = f"TENANT#{ORDER.tenant_id}#ORDER#{ORDER.id}"
MINUTE = timedelta(minutes=1)


def _story(*beside: Item) -> list[tuple[str, str]]:
    placed, *entries = timeline(ORDER, beside)
    assert placed.kind == "ORDER_PLACED"
    return [(entry.kind, entry.text) for entry in entries]


def _mail(kind: str, **fields: Any) -> Item:
    sent = {"state": "SENT", "sentAt": iso(PAID_AT), "recipients": "someone@bbws.example"}
    return {"PK": PLACE, "SK": f"EMAIL#{kind}", **sent, **fields}


def _notice(**fields: Any) -> Item:
    notice = PaymentNotice(
        sha256="a" * 64, raw_body="", source_address="127.0.0.1", received_at=PAID_AT, payment_status="CANCELLED",
        **fields,
    )  # fmt: skip
    return item_of(notice, (PLACE, f"ITN#{notice.sha256}"))


def test_a_mail_is_told_once_it_is_sent() -> None:
    """Somebody who waits for a mail that only was claimed would look for it in vain."""
    claimed = {"PK": PLACE, "SK": "EMAIL#order_confirmation_customer", "state": "SENDING", "leaseUntil": iso(PAID_AT)}
    assert _story(claimed) == []
    assert _story(_mail("order_confirmation_customer")) == [
        ("MAIL_SENT", "Order confirmation sent to the customer (someone@bbws.example)")
    ]


def test_who_on_the_team_gets_mail_is_not_told() -> None:
    """The customer reads this page; the addresses of colleagues are none of theirs."""
    assert _story(_mail("payment_confirmation_internal")) == [
        ("MAIL_SENT", "Payment confirmation with invoice sent to the team")
    ]


@pytest.mark.parametrize(("status", "kinds"), [("NUMBERED", 1), ("ISSUED", 2)])
def test_an_invoice_is_issued_once_it_is(status: str, kinds: int) -> None:
    """Between number and PDF lie minutes when S3 is out: a link that is offered then leads nowhere."""
    invoice = an_invoice(ORDER, status=status, date_last_updated=PAID_AT + MINUTE)
    told = [kind for kind, _ in _story(item_of(invoice, (PLACE, f"INVOICE#{invoice.number}")))]
    assert told == ["INVOICE_NUMBERED", "INVOICE_ISSUED"][:kinds]


@pytest.mark.parametrize(
    ("judgement", "told"),
    [
        ({"state": "VERIFIED"}, [("PAYMENT_NOTICE", "PayFast confirmed the payment")]),
        ({"state": "REJECTED", "reason": "the signature does not match"},
         [("PAYMENT_NOTICE_REFUSED", "A payment notice was refused: the signature does not match")]),
        ({"state": "NOTED"}, [("PAYMENT_CANCELLED", "PayFast reported the payment as CANCELLED")]),
        ({"state": "DUPLICATE"}, []),
        ({"state": "RECEIVED"}, []),
        ({"state": "UNVERIFIED", "reason": "no answer"}, []),
    ],
)  # fmt: skip
def test_a_notice_is_told_as_it_was_judged(judgement: dict[str, str], told: list[tuple[str, str]]) -> None:
    """What is not judged yet did not happen yet, and what was said twice happened once."""
    assert _story(_notice(decided_at=PAID_AT, **judgement)) == told


def test_a_reopened_notice_is_not_told_until_it_is_judged_again() -> None:
    """Its old moment is still stored; what the moment decided no longer holds."""
    assert _story(_notice(state="RECEIVED", decided_at=PAID_AT)) == []
    assert _story(_notice(state="VERIFIED")) == []


def test_what_happened_first_stands_first_however_it_is_stored() -> None:
    """Keys sort by kind; people read by time."""
    payment, invoice = a_payment(ORDER, date_last_updated=PAID_AT), an_invoice(ORDER, date_created=PAID_AT - MINUTE)
    beside = [
        _mail("order_confirmation_customer", sentAt=iso(PAID_AT - 2 * MINUTE)),
        item_of(invoice, (PLACE, f"INVOICE#{invoice.number}")),
        item_of(payment, (PLACE, f"PAYMENT#{payment.id}")),
    ]
    wanted = ["MAIL_SENT", "INVOICE_NUMBERED", "ORDER_PAID"]
    assert [kind for kind, _ in _story(*beside)] == [kind for kind, _ in _story(*reversed(beside))] == wanted
