"""An order's story as its customer sees it: four steps, the entries, and whether more will come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bbws.gateway.streams import is_complete
from bbws.shared.contracts.orders import Order, TimelineEntry

_CUSTOMER_MAILS = frozenset({"mail.order_confirmation_customer", "mail.payment_confirmation_customer"})
_INTERNAL = "_internal"
_OVER = frozenset({"CANCELLED", "REFUNDED"})

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
    invoiced = "INVOICE_ISSUED" in kinds
    return Progress(
        steps=_steps(paid=paid, invoiced=invoiced, mailed=ids >= _CUSTOMER_MAILS),
        # Newest first; what the team was told about the order is no news to the customer.
        entries=tuple(entry for entry in reversed(entries) if not entry.id.endswith(_INTERNAL)),
        paid=paid,
        confirming=not paid and "PAYMENT_NOTICE" in kinds,
        invoiced=invoiced,
        finished=is_complete(entries) or order.status in _OVER,
    )


def _steps(*, paid: bool, invoiced: bool, mailed: bool) -> tuple[Step, ...]:
    """Each done step says what is so; of the others the first is the current one and says what is awaited."""
    told = (
        ("Order placed", True, "We have your order.", "", ""),
        ("Paid", paid, "PayFast confirmed your payment.", "Waiting for PayFast's confirmation.", ""),
        ("Invoice", invoiced, "Your invoice is ready.", "We are making it out.", "Made out once you have paid."),
        ("E-mails", mailed, "Sent to you, with the invoice.", "On their way to you.", "With your invoice."),
    )
    first_open = next((position for position, (_, done, *_) in enumerate(told) if not done), len(told))
    return tuple(
        Step(name, here, "done")
        if done
        else Step(name, awaited, "current")
        if position == first_open
        else Step(name, later, "waiting")
        for position, (name, done, here, awaited, later) in enumerate(told)
    )
