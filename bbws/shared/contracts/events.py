"""Every event between processes, each known by its schema, and what the queues carry."""

from typing import Annotated

from pydantic import Field

from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.sales.order_events import ORDER_EVENTS, InvoiceIssued, OrderCreated
from bbws.shared.contracts.tenancy.tenant_events import TENANT_EVENTS, RegistrationRequested

_PUBLISHED: tuple[type[Envelope], ...] = (*ORDER_EVENTS, *TENANT_EVENTS)
EVENTS: dict[str, type[Envelope]] = {event.schema_urn(): event for event in _PUBLISHED}

# What a queue carries.
OrderEvent = Annotated[OrderCreated | InvoiceIssued, Field(discriminator="type")]
CustomerEvent = Annotated[OrderCreated | InvoiceIssued | RegistrationRequested, Field(discriminator="type")]
