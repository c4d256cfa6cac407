"""An order's story, told from the items that stand beside it; nothing is stored only to be told."""

from collections.abc import Iterable, Iterator

from bbws.shared.contracts.money import Money
from bbws.shared.contracts.sales.invoices import Invoice
from bbws.shared.contracts.sales.orders import Order, TimelineEntry, TimelineKind
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.core.items import model_of
from bbws.shared.dynamo.codec import Item

_MAIL_NAMES = {
    "order_confirmation_customer": "Order confirmation sent to the customer",
    "order_confirmation_internal": "Order confirmation sent to the team",
    "payment_confirmation_customer": "Payment confirmation with invoice sent to the customer",
    "payment_confirmation_internal": "Payment confirmation with invoice sent to the team",
}
MAILS_OF_AN_ORDER = len(_MAIL_NAMES)
_NOTICES: dict[str, tuple[TimelineKind, str]] = {
    "VERIFIED": ("PAYMENT_NOTICE", "PayFast confirmed the payment"),
    "REJECTED": ("PAYMENT_NOTICE_REFUSED", "A payment notice was refused"),
    "NOTED": ("PAYMENT_CANCELLED", "PayFast reported the payment as"),
}


def timeline(order: Order, beside: Iterable[Item]) -> tuple[TimelineEntry, ...]:
    placed = TimelineEntry(
        id=f"{order.id}.placed",
        kind="ORDER_PLACED",
        at=order.date_created,
        text=f"Order placed for {Money(order.total_cents)}",
    )
    entries = [entry for item in beside for entry in _entries(item)]
    return placed, *sorted(entries, key=lambda entry: (entry.at, entry.id))


def _entries(item: Item) -> Iterator[TimelineEntry]:
    kind, _, name = item["SK"].partition("#")
    match kind:
        case "ITN":
            yield from _notice(model_of(PaymentNotice, item))
        case "PAYMENT":
            yield _paid(model_of(Payment, item), item["dateLastUpdated"])
        case "INVOICE":
            yield from _invoiced(model_of(Invoice, item))
        case "EMAIL" if item["state"] == "SENT":
            # Who on the team gets mail is nothing that a customer's timeline tells.
            recipients = "" if name.endswith("_internal") else f" ({item['recipients']})"
            yield _entry(f"mail.{name}", "MAIL_SENT", item["sentAt"], f"{_MAIL_NAMES.get(name, name)}{recipients}")


def _notice(notice: PaymentNotice) -> Iterator[TimelineEntry]:
    if notice.state not in _NOTICES or notice.decided_at is None:
        return
    kind, text = _NOTICES[notice.state]
    detail = {"REJECTED": f": {notice.reason}", "NOTED": f" {notice.payment_status}"}.get(notice.state, "")
    yield TimelineEntry(id=f"itn.{notice.sha256[:16]}", kind=kind, at=notice.decided_at, text=f"{text}{detail}")


def _paid(payment: Payment, recorded: str) -> TimelineEntry:
    text = f"{Money(payment.amount_cents)} paid through PayFast ({payment.payfast_id})"
    return _entry(f"payment.{payment.id}", "ORDER_PAID", recorded, text)


def _invoiced(invoice: Invoice) -> Iterator[TimelineEntry]:
    yield TimelineEntry(
        id=f"invoice.{invoice.number}.numbered",
        kind="INVOICE_NUMBERED",
        at=invoice.date_created,
        text=f"Invoice {invoice.number} made out",
    )
    if invoice.status == "ISSUED":
        yield TimelineEntry(
            id=f"invoice.{invoice.number}.issued",
            kind="INVOICE_ISSUED",
            at=invoice.date_last_updated,
            text=f"Invoice {invoice.number} issued as PDF",
        )


def _entry(entry_id: str, kind: TimelineKind, at: str, text: str) -> TimelineEntry:
    return TimelineEntry.model_validate({"id": entry_id, "kind": kind, "at": at, "text": text})
