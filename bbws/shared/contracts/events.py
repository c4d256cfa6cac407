"""The events between processes: CloudEvents 1.0 in structured JSON, with BBWS's extension attributes.

`dataschema` names the version of `data`: urn:bbws:event:{type}:{version}. A published version never changes
incompatibly; golden samples under tests/contracts/samples/ hold that.
"""

from typing import Annotated, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field

from bbws.shared.contracts.base import Contract, Timestamp, Uuid
from bbws.shared.contracts.invoices import InvoiceNumber
from bbws.shared.contracts.orders import Order, Payment
from bbws.shared.ids import new_id

PAYMENT_SOURCE = "bbws.payment"

# EventBridge refuses entries above 256 KB, SNS messages above 256 KiB; the smaller one counts.
MAX_EVENT_BYTES = 256_000


class Envelope(BaseModel):
    """CloudEvents attributes are lower-case by that specification; `data` is camelCase like all of BBWS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    TYPE: ClassVar[str]
    VERSION: ClassVar[int] = 1
    SOURCE: ClassVar[str]

    specversion: Literal["1.0"] = "1.0"
    id: Uuid
    source: str
    type: str
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    tenantid: Uuid
    correlationid: Annotated[str, Field(min_length=1, max_length=128)]
    causationid: str | None = None
    traceparent: str | None = None

    @classmethod
    def schema_urn(cls) -> str:
        return f"urn:bbws:event:{cls.TYPE}:{cls.VERSION}"

    @classmethod
    def of(
        cls,
        data: Contract,
        *,
        tenant_id: str,
        time: Timestamp,
        correlation_id: str,
        event_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
    ) -> Self:
        """A new event; give `event_id` where a repeat must make the same one."""
        return cls.model_validate(
            {
                "id": event_id or new_id(),
                "source": cls.SOURCE,
                "type": cls.TYPE,
                "time": time,
                "dataschema": cls.schema_urn(),
                "tenantid": tenant_id,
                "correlationid": correlation_id,
                "causationid": causation_id,
                "traceparent": traceparent,
                "data": data,
            }
        )

    def to_json(self) -> bytes:
        return orjson.dumps(self.model_dump(mode="json", exclude_none=True))


class OrderCreatedData(Contract):
    """The paid order with its payment, whole: no consumer needs to wait for another, or to read the table."""

    order: Order
    payment: Payment


class OrderCreated(Envelope):
    TYPE = "ORDER_CREATED"
    SOURCE = PAYMENT_SOURCE

    type: Literal["ORDER_CREATED"] = "ORDER_CREATED"
    source: Literal["bbws.payment"] = "bbws.payment"
    dataschema: Literal["urn:bbws:event:ORDER_CREATED:1"] = "urn:bbws:event:ORDER_CREATED:1"
    data: OrderCreatedData


class InvoiceIssuedData(Contract):
    """Where the PDFs are in the documents bucket, and what the payment confirmation needs besides."""

    invoice_number: InvoiceNumber
    document_key: str
    internal_document_key: str
    order: Order
    payment: Payment


class InvoiceIssued(Envelope):
    TYPE = "INVOICE_ISSUED"
    SOURCE = PAYMENT_SOURCE

    type: Literal["INVOICE_ISSUED"] = "INVOICE_ISSUED"
    source: Literal["bbws.payment"] = "bbws.payment"
    dataschema: Literal["urn:bbws:event:INVOICE_ISSUED:1"] = "urn:bbws:event:INVOICE_ISSUED:1"
    data: InvoiceIssuedData


EVENTS: dict[str, type[Envelope]] = {event.schema_urn(): event for event in (OrderCreated, InvoiceIssued)}

OrderEvent = Annotated[OrderCreated | InvoiceIssued, Field(discriminator="type")]
