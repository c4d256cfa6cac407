"""Audit trails that never saw a table: entries, their seals, and the head."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from bbws.shared.clock import iso
from bbws.shared.contracts.audit import AuditDetails, AuditEntry, SealHead
from bbws.shared.core.audit import digest_of
from bbws.shared.core.audit_entries import StoredEntry
from bbws.shared.ids import new_id
from bbws.shared.tenancy.rules.audit_chain import Anchor, AuditReport, HeadSigner, Verification, extend
from tests.support.builders import PAID_AT

KEY = "k" * 32
TRAIL = "019abf6e-5d1c-7c3e-9d7b-3f1f6f3c2a10"
SIGNER = HeadSigner([KEY])


def an_entry(**fields: Any) -> AuditEntry:
    details = fields.pop("details", None) or AuditDetails(salt=new_id(), source="203.0.113.9", after={"status": "PAID"})
    defaults = {
        "id": new_id(), "tenant_id": TRAIL, "at": PAID_AT, "action": "ORDER_PAID", "subject": "orders/1",
        "actor": "order-record", "correlation_id": "flow", "digest": digest_of(details), "details": details,
    }  # fmt: skip
    return AuditEntry(**{**defaults, **fields})


def a_chain(length: int) -> tuple[list[AuditEntry], SealHead]:
    """Sealed entries, one second apart, and the head behind them."""
    entries = [an_entry(at=PAID_AT + timedelta(seconds=second)) for second in range(length)]
    sealed = [entry.model_copy(update={"seal": seal}) for entry, seal in extend(None, entries)]
    assert sealed[-1].seal is not None
    return sealed, SIGNER.sign(TRAIL, sealed[-1].seal, PAID_AT)


def stored(entry: AuditEntry) -> StoredEntry:
    return StoredEntry((f"TENANT#{entry.tenant_id}", f"EVENT#{iso(entry.at)}#{entry.id}"), entry)


def verified(
    entries: Iterable[AuditEntry],
    head: SealHead | None,
    *,
    head_now: SealHead | None = None,
    signer: HeadSigner = SIGNER,
    sealed_before: datetime = PAID_AT,
    anchor: Anchor | None = None,
) -> AuditReport:
    """What a verification says; the head did not move meanwhile unless `head_now` is given."""
    verification = Verification(TRAIL, signer, head, sealed_before, anchor)
    for entry in entries:
        verification.see(stored(entry))
    return verification.report(head_now or head)


def kinds(report: AuditReport) -> Sequence[tuple[str, int | None]]:
    return [(finding.kind, finding.sequence) for finding in report.findings]
