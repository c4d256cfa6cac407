"""What PayFast told us: an ITN (instant transaction notification), stored as it came, then judged."""

from typing import Annotated, Literal

from pydantic import Field

from bbws.shared.contracts.base import Contract, Timestamp, Uuid

# RECEIVED: stored, not judged yet (a crash may leave it so; the sweeper judges it).
# UNVERIFIED: PayFast could not be asked; the sweeper asks again until it is decided.
# VERIFIED: all checks hold and the event is out. DUPLICATE: another ITN said the same before.
# NOTED: genuine, but not a payment (CANCELLED, FAILED, PENDING). REJECTED: a check failed; `reason` says which.
NoticeState = Literal["RECEIVED", "UNVERIFIED", "VERIFIED", "DUPLICATE", "NOTED", "REJECTED"]


class PaymentNotice(Contract):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    # The bytes as they came, read as Latin-1, which loses none.
    raw_body: str
    source_address: str
    received_at: Timestamp
    state: NoticeState = "RECEIVED"
    reason: str | None = None
    flags: tuple[str, ...] = ()
    # None: nobody's order, or not to be parsed at all.
    tenant_id: Uuid | None = None
    order_id: Uuid | None = None
    payfast_id: str = ""
    payment_status: str = ""
    # As it was said, and anybody may say anything: below nothing, or more money than there is.
    amount_gross_cents: int | None = None
    payment_id: Uuid | None = None
    decided_at: Timestamp | None = None
    checks: Annotated[int, Field(ge=0)] = 0
