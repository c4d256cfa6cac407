"""The contracts that others rely on: stored items, messages on their way, and what API clients send.

`python -m tests.contracts.published` writes today's schemas to `schemas/`, after a compatible change.
"""

from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from bbws.shared.contracts.audit import AuditEntry, SealHead
from bbws.shared.contracts.events import EVENTS
from bbws.shared.contracts.operations import Operation
from bbws.shared.contracts.sales.campaigns import Campaign, CampaignDraft
from bbws.shared.contracts.sales.invoices import Invoice
from bbws.shared.contracts.sales.orders import Order, OrderDraft
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.contracts.sales.products import Product, ProductDraft
from bbws.shared.contracts.tenancy.hierarchies import HierarchyUnit, HierarchyUnitDraft, HierarchyUnitPatch
from bbws.shared.contracts.tenancy.registrations import Confirmation, MailedLink
from bbws.shared.contracts.tenancy.tenants import (
    OptionalReason,
    Reason,
    Registration,
    Tenant,
    TenantDraft,
    TenantPatch,
)
from bbws.shared.contracts.tenancy.users import StaffMember, UserAssignment, UserAssignmentDraft, UserRolePatch

SAMPLES = Path(__file__).parent / "samples"
SCHEMAS = Path(__file__).parent / "schemas"

RESOURCES: tuple[type[BaseModel], ...] = (
    *(Campaign, HierarchyUnit, Invoice, MailedLink, Operation, Order, Payment, PaymentNotice, Product, StaffMember),
    *(AuditEntry, SealHead, Tenant, UserAssignment),
)
DRAFTS: tuple[type[BaseModel], ...] = (
    *(CampaignDraft, Confirmation, HierarchyUnitDraft, HierarchyUnitPatch, OptionalReason, OrderDraft, ProductDraft),
    *(Reason, Registration, TenantDraft, TenantPatch, UserAssignmentDraft, UserRolePatch),
)

PUBLISHED: dict[str, type[BaseModel]] = {
    **{f"{event.TYPE}.v{event.VERSION}": event for event in EVENTS.values()},
    **{f"{model.__name__}.v1": model for model in (*RESOURCES, *DRAFTS)},
}

# What people read and no parser minds.
_PROSE = ("title", "description", "examples")


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """What the contract accepts, as JSON Schema without prose."""
    stripped: dict[str, Any] = _without_prose(model.model_json_schema(mode="validation"))
    return stripped


def _without_prose(node: Any, *, names_fields: bool = False) -> Any:
    """`names_fields`: the keys are names of fields or definitions, and a field may well be called `description`."""
    if isinstance(node, list):
        return [_without_prose(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if names_fields or key not in _PROSE}
    return {
        key: value
        if key == "default"
        else _without_prose(value, names_fields=not names_fields and key in ("properties", "$defs"))
        for key, value in kept.items()
    }


def write_schemas() -> None:
    for name, model in PUBLISHED.items():
        text = orjson.dumps(schema_of(model), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        (SCHEMAS / f"{name}.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    write_schemas()
