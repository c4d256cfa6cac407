"""Work that outlasts its request: answered with 202, followed at `/v1.0/operations/{id}`."""

from typing import Literal

from bbws.shared.contracts.base import Record, Uuid

OperationKind = Literal["TENANT_PURGE"]
OperationStatus = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED"]


class Operation(Record):
    id: Uuid
    tenant_id: Uuid
    kind: OperationKind
    status: OperationStatus = "PENDING"
    error: str | None = None
