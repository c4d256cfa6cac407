"""A tax invoice: one gapless series, one per paid order."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from bbws.shared.contracts.base import Cents, Contract, Record, Uuid
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.payments import Payment

InvoiceNumber = Annotated[str, Field(pattern=r"^INV-\d{6,}$")]


class Seller(Contract):
    """`vatNumber` is absent when the seller is not a VAT vendor."""

    name: str
    address: tuple[str, ...]
    vat_number: str | None = None
    email: str


class Invoice(Record):
    """NUMBERED: the number is taken, the PDF not stored yet. ISSUED: stored and announced.

    `templateVersions` pins the S3 versions of the templates, so that the same order gives the same bytes again.
    """

    number: InvoiceNumber
    status: Literal["NUMBERED", "ISSUED"] = "NUMBERED"
    issue_date: date
    tenant_id: Uuid
    order_id: Uuid
    total_cents: Cents
    seller: Seller
    order: Order
    payment: Payment
    template_versions: dict[str, str]
    document_key: str
    internal_document_key: str


def invoice_number(serial: int) -> str:
    """`INV-000001` for 1; wider than six digits when it must be."""
    return f"INV-{serial:06d}"
