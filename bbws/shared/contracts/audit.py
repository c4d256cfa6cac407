"""The audit trail: who changed what, when, and from where.

The seal covers an entry's head and the digest of its details, so that details can be erased (a purged tenant's) without
breaking the chain.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from bbws.shared.contracts.base import Contract, Timestamp, Uuid

# What belongs to no tenant (products, campaigns, dead letters) has a trail of its own.
PLATFORM: Literal["platform"] = "platform"
# The entry that says why details are missing in a trail.
PURGED = "TENANT_PURGED"
# What the first entry of a chain follows.
GENESIS = "0" * 64

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AuditDetails(Contract):
    """What can be personal. `before` and `after` hold the fields that differ; `salt` keeps `digest` from being guessed.

    `source` is the address of an HTTP caller, or the consumer, loop or command that acted.
    """

    salt: str
    source: str
    reason: str | None = None
    before: Mapping[str, Any] = Field(default_factory=dict)
    after: Mapping[str, Any] = Field(default_factory=dict)


class Seal(Contract):
    """The entry's place in its trail's hash chain: `hash` covers `previous` (the hash of the entry before it in the
    chain), `sequence` and the entry's head."""

    sequence: Annotated[int, Field(ge=1)]
    previous: Sha256
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


class SealHead(Contract):
    """How far a trail is sealed. `mac` is made with a key that is not in the table."""

    tenant_id: Uuid | Literal["platform"]
    sequence: Annotated[int, Field(ge=1)]
    hash: Sha256
    mac: Sha256
    sealed_at: Timestamp
