"""Invoices and their counter, in `orders`."""

from bbws.shared.contracts.sales.invoices import Invoice
from bbws.shared.core.items import item_of, model_of
from bbws.shared.core.tenant_items import OrderItems, is_kept
from bbws.shared.dynamo.database import Database, Key, Put, Update, Write
from bbws.shared.dynamo.keys import METADATA, ORDERS

# Invoices stay whole: a tax invoice names its recipient, and the law keeps it.
_INVOICES = OrderItems(ORDERS, "INVOICE", is_kept)
# Numbers alone.
_GUARDS = OrderItems(ORDERS, "UNIQUE", is_kept)
KINDS = (_INVOICES, _GUARDS)

_COUNTER = ("COUNTER#INVOICE", METADATA)


class NumberTaken(Exception):
    """Another invoice took this number first; the next one is free."""


class OrderInvoiced(Exception):
    """The order has its invoice already."""


class InvoiceIssuedBefore(Exception):
    """Another process announced this invoice meanwhile."""


class InvoiceRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: str, order_id: str) -> Invoice | None:
        guard = await self._database.find(ORDERS, _GUARDS.key(tenant_id, order_id, "INVOICE"))
        if guard is None:
            return None
        item = await self._database.find(ORDERS, _INVOICES.key(tenant_id, order_id, guard["number"]))
        return model_of(Invoice, item) if item else None

    async def last_serial(self) -> int:
        counter = await self._database.find(ORDERS, _COUNTER)
        return int(counter["last"]) if counter else 0

    def new(self, invoice: Invoice, serial: int) -> list[Write]:
        """The invoice and its number in one transaction: a number is never taken without an invoice, so none is
        missing from the series."""
        partition, sort = _GUARDS.key(invoice.tenant_id, invoice.order_id, "INVOICE")
        guard = {"PK": partition, "SK": sort, "number": invoice.number}
        return [
            Put(ORDERS, guard, conflict=OrderInvoiced(invoice.order_id)),
            _count(serial),
            Put(ORDERS, item_of(invoice, _key(invoice))),
        ]

    def issued(self, invoice: Invoice) -> Update:
        changes = invoice.model_dump(mode="json", include={"status", "date_last_updated", "last_updated_by", "version"})
        return Update(
            ORDERS,
            _key(invoice),
            changes,
            condition="#status = :numbered",
            names={"#status": "status"},
            values={":numbered": "NUMBERED"},
            conflict=InvoiceIssuedBefore(invoice.number),
        )


def _key(invoice: Invoice) -> Key:
    return _INVOICES.key(invoice.tenant_id, invoice.order_id, invoice.number)


def _count(serial: int) -> Write:
    taken = NumberTaken(str(serial))
    if serial == 1:
        return Put(ORDERS, {"PK": _COUNTER[0], "SK": _COUNTER[1], "last": 1}, conflict=taken)
    return Update(
        ORDERS,
        _COUNTER,
        {"last": serial},
        condition="#last = :before",
        names={"#last": "last"},
        values={":before": serial - 1},
        conflict=taken,
    )
