"""The processes behind the gateway: what `bbws consumer NAME` accepts.

Each module says which queues it reads, what it publishes, and why a repeat is harmless.
"""

from collections.abc import Callable
from typing import NamedTuple

from bbws.consumers import notify, order_pdf, order_record, outbox_relay
from bbws.consumers.app import Consumer

Register = Callable[[Consumer], None]


class Entry(NamedTuple):
    register: Register
    summary: str


CONSUMERS: dict[str, Entry] = {
    "order-record": Entry(order_record.register, "moves paid orders to PAID and writes their payments"),
    "order-pdf": Entry(order_pdf.register, "numbers, renders and stores invoices, and announces them"),
    "notify": Entry(notify.register, "sends mails to customers and to the team"),
    "outbox-relay": Entry(
        outbox_relay.register, "publishes what a crash left, judges waiting ITNs, seals audit trails"
    ),
}
