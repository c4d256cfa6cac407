"""The processes behind the gateway: what `bbws consumer NAME` accepts.

Each module says which queues it reads, what it publishes, and why a repeat is harmless.
"""

from collections.abc import Callable
from typing import NamedTuple

from bbws.consumers import housekeeping, notify, order_pdf, order_record
from bbws.consumers.app import Consumer

Register = Callable[[Consumer], None]


class Entry(NamedTuple):
    register: Register
    summary: str


CONSUMERS: dict[str, Entry] = {
    "order-record": Entry(order_record.register, "moves paid orders to PAID and writes their payments"),
    "order-pdf": Entry(order_pdf.register, "numbers, renders and stores invoices, and announces them"),
    "notify": Entry(notify.register, "sends mails to customers and to the team"),
    "housekeeping": Entry(housekeeping.register, "takes up what is due, and what a crash or an outage left"),
}
