"""An order's story as its customer sees it: four steps, the entries, and whether more will come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bbws.gateway.streams import is_complete
from bbws.shared.contracts.sales.orders import Order, TimelineEntry

_CUSTOMER_MAILS = frozenset({"mail.order_confirmation_customer", "mail.payment_confirmation_customer"})
_INTERNAL = "_internal"
_OVER = frozenset({"CANCELLED", "REFUNDED"})
# What a step says while it is the next one, and what before that.
_OPEN = {
    "Payment": ("Waiting for PayFast's confirmation.", ""),
    "Invoice": ("We are making it out.", "Made out once you have paid."),
    "E-mails": ("On their way to you.", "Confirmation and invoice."),
}

State = Literal["done", "current", "waiting"]


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    hint: str
    state: State


@dataclass(frozen=True, slots=True)
class Progress:
    """`finished`: nothing more will happen, so nobody need watch. `confirming`: paid, but not recorded yet."""

    steps: tuple[Step, ...]
    entries: tuple[TimelineEntry, ...]
    paid: bool
    confirming: bool
    invoiced: bool
    finished: bool


def progress(order: Order, entries: Sequence[TimelineEntry]) -> Progress:
    kinds, ids = {entry.kind for entry in entries}, {entry.id for entry in entries}
    paid = order.payment_details is not None
    # PayFast's word is enough for the customer; the booking follows within moments.
    confirmed = paid or "PAYMENT_NOTICE" in kinds
    invoiced = "INVOICE_ISSUED" in kinds
    return Progress(
        steps=_steps(paid=confirmed, invoiced=invoiced, mailed=ids >= _CUSTOMER_MAILS),
        # Newest first; what the team was told about the order is no news to the customer.
        entries=tuple(entry for entry in reversed(entries) if not entry.id.endswith(_INTERNAL)),
        paid=paid,
        confirming=confirmed and not paid,
        invoiced=invoiced,
        finished=is_complete(entries) or order.status in _OVER,
    )


def _steps(*, paid: bool, invoiced: bool, mailed: bool) -> tuple[Step, ...]:
    """The first step that is not done is the current one, and says what is awaited."""
    all_steps = (
        (True, Step("Order placed", "We have your order.", "done")),
        (paid, Step("Payment", "PayFast confirmed your payment.", "done")),
        (invoiced, Step("Invoice", "Your invoice is ready.", "done")),
        (mailed, Step("E-mails", "Sent to you, with the invoice.", "done")),
    )
    open_steps = [step.name for done, step in all_steps if not done]
    return tuple(step if done else _open(step.name, current=step.name == open_steps[0]) for done, step in all_steps)


def _open(name: str, *, current: bool) -> Step:
    awaited, later = _OPEN[name]
    return Step(name, awaited, "current") if current else Step(name, later, "waiting")
