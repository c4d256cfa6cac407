"""The audit trail: who changed what, when, and from where.

The seal covers an entry's head and the digest of its details, so that details can be erased (a purged tenant's) without
breaking the chain.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from bbws.shared.contracts.base import Contract, Timestamp, Uuid

# What belongs to no tenant (products, campaigns, dead letters) has a trail of its own.
PLATFORM: Literal["platform"] = "platform"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AuditDetails(Contract):
    """What can be personal. `before` and `after` hold the fields that differ; `salt` keeps `digest` from being guessed.

    `source` is the address of an HTTP caller, or the process that acted.
    """

    salt: str
    source: str
    reason: str | None = None
    before: Mapping[str, Any] = MappingProxyType({})
    after: Mapping[str, Any] = MappingProxyType({})


class Seal(Contract):
    """The entry's place in its tenant's hash chain; `hash` covers the one before it."""

    sequence: Annotated[int, Field(ge=1)]
    hash: Sha256


class AuditEntry(Contract):
    """`details` is None once it was erased; `seal` until the sealer came by."""

    id: Uuid
    tenant_id: Uuid | Literal["platform"]
    at: Timestamp
    action: str
    subject: str
    actor: str
    correlation_id: str
    digest: Sha256
    details: AuditDetails | None = None
    seal: Seal | None = None
