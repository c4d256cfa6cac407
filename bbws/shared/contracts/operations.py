"""Work that outlasts its request: answered with 202, followed at `/v1.0/operations/{id}`."""

from typing import Annotated, Literal

from pydantic import Field

from bbws.shared.contracts.base import Record, Uuid

OperationKind = Literal["TENANT_PURGE"]
OperationStatus = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED"]


class Operation(Record):
    """`error` says why the last try failed, `failures` how many did; `documentKey` is where its result lies in the
    bucket of documents."""

    id: Uuid
    tenant_id: Uuid
    kind: OperationKind
    status: OperationStatus = "PENDING"
    failures: Annotated[int, Field(ge=0)] = 0
    error: str | None = None
    document_key: str | None = None
