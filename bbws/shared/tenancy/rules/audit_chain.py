"""The hash chain of an audit trail: how entries are sealed, and what a trail that was tampered with shows.

Each seal covers its entry's head and the seal before it; the chain's last hash is signed with a key that the table does
not hold. So entries can be added by whoever writes the table, but none removed, altered or moved unnoticed.
"""

import hashlib
import hmac
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import orjson

from bbws.shared.contracts.audit import GENESIS, PURGED, AuditEntry, Seal, SealHead
from bbws.shared.core.audit import digest_of
from bbws.shared.core.audit_entries import StoredEntry

Kind = Literal[
    "REMOVED", "ALTERED", "REWRITTEN", "DETAILS_ALTERED", "DETAILS_ERASED", "MISPLACED", "TWICE", "CUT",
    "HEAD_FORGED", "HEAD_MISSING", "NOT_SEALED", "ANCHOR",
]  # fmt: skip


def hash_of(previous: str, sequence: int, entry: AuditEntry) -> str:
    """SHA-256 of the hash before, the place and the head; a field that a later version adds counts once it is set."""
    head = entry.model_dump(mode="json", exclude={"details", "seal"}, exclude_none=True)
    canonical = orjson.dumps(head, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(f"{previous}\n{sequence}\n".encode() + canonical).hexdigest()


def extend(head: SealHead | None, entries: Iterable[AuditEntry]) -> Iterator[tuple[AuditEntry, Seal]]:
    """The seals of `entries` behind the chain's head, one after the other."""
    sequence, previous = (head.sequence, head.hash) if head else (0, GENESIS)
    for entry in entries:
        sequence += 1
        seal = Seal(sequence=sequence, previous=previous, hash=hash_of(previous, sequence, entry))
        previous = seal.hash
        yield entry, seal


class HeadSigner:
    """`keys`: the first one signs, all of them count, so that a key can be changed."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def sign(self, tenant_id: str, seal: Seal, now: datetime) -> SealHead:
        mac = _mac(self._keys[0], tenant_id, seal.sequence, seal.hash)
        return SealHead(tenant_id=tenant_id, sequence=seal.sequence, hash=seal.hash, mac=mac, sealed_at=now)

    def holds(self, tenant_id: str, head: SealHead) -> bool:
        macs = (_mac(key, tenant_id, head.sequence, head.hash) for key in self._keys)
        return any(hmac.compare_digest(head.mac, mac) for mac in macs)


def _mac(key: bytes, tenant_id: str, sequence: int, sealed: str) -> str:
    said = f"bbws audit head\n{tenant_id}\n{sequence}\n{sealed}".encode()
    return hmac.new(key, said, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Finding:
    """`sequence` is the place in the chain, where there is one."""

    kind: Kind
    text: str
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """`sealed_up_to` is what the head says; 0 without a head."""

    tenant_id: str
    entries: int
    sealed_up_to: int
    head_hash: str | None
    waiting: int
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place in the chain and its hash, known from elsewhere: the log line of its sealing."""

    sequence: int
    hash: str


@dataclass(slots=True)
class _Run:
    """Entries seen that follow one another in the chain, from `first` to `last`."""

    first: int
    last: int
    previous: str
    hash: str


@dataclass(slots=True)
class Verification:
    """Looks at the entries of one trail in any order; needs memory for gaps, not for entries.

    `head` is the chain's head as it was before the first entry was read: what is sealed meanwhile can not be judged
    in full, and is by the next verification.
    """

    tenant_id: str
    signer: HeadSigner
    head: SealHead | None
    sealed_before: datetime
    anchor: Anchor | None = None
    findings: list[Finding] = field(default_factory=list)
    _runs: list[_Run] = field(default_factory=list)
    _entries: int = 0
    _waiting: int = 0
    _erased: int = 0
    _first_erased: str = ""
    _is_purged: bool = False
    _anchored: bool = False

    def see(self, stored: StoredEntry) -> None:
        self._entries += 1
        entry = stored.entry
        if entry is None:
            self._find("MISPLACED", f"{stored.key[1]} holds no entry of this trail and this key")
            return
        self._see_details(entry)
        if entry.seal is not None:
            self._see_seal(entry, entry.seal)
        else:
            self._see_waiting(entry)

    @property
    def has_entries(self) -> bool:
        return self._entries > 0

    def find_wiped(self) -> None:
        """For a tenant without any entry and without a head: each begins with the entry of its making."""
        self._find("CUT", "the trail is empty, and no tenant is without an entry")

    def report(self, head_now: SealHead | None, *, head_is_broken: bool = False) -> AuditReport:
        """`head_now` is the head after the last entry was read."""
        if head_is_broken:
            self._find("HEAD_FORGED", "what stands in the head's place is no head")
        self._judge_head(head_now)
        self._judge_gaps()
        if self._erased and not self._is_purged:
            text = f"the details of {self._erased} entries are erased, the first {self._first_erased}, without {PURGED}"
            self._find("DETAILS_ERASED", text)
        if self.anchor and not self._anchored:
            self._find("ANCHOR", f"entry {self.anchor.sequence} is not the one with hash {self.anchor.hash}")
        return AuditReport(
            tenant_id=self.tenant_id,
            entries=self._entries,
            sealed_up_to=self.head.sequence if self.head else 0,
            head_hash=self.head.hash if self.head else None,
            waiting=self._waiting,
            findings=self.findings,
        )

    def _see_details(self, entry: AuditEntry) -> None:
        self._is_purged = self._is_purged or entry.action == PURGED
        if entry.details is None:
            self._erased += 1
            self._first_erased = self._first_erased or _named(entry)
        elif digest_of(entry.details) != entry.digest:
            self._find("DETAILS_ALTERED", f"the details of {_named(entry)} are not those that were sealed", entry)

    def _see_waiting(self, entry: AuditEntry) -> None:
        self._waiting += 1
        if entry.at < self.sealed_before:
            self._find("NOT_SEALED", f"{_named(entry)} was never sealed")

    def _see_seal(self, entry: AuditEntry, seal: Seal) -> None:
        if hash_of(seal.previous, seal.sequence, entry) != seal.hash:
            self._find("ALTERED", f"{_named(entry)} is not as it was sealed", entry)
        if self.anchor and self.anchor.sequence == seal.sequence and self.anchor.hash == seal.hash:
            self._anchored = True
        if self.head and self.head.sequence == seal.sequence and self.head.hash != seal.hash:
            self._find("REWRITTEN", f"{_named(entry)} ends the chain with another hash than the head's", entry)
        self._link(entry, seal)

    def _link(self, entry: AuditEntry, seal: Seal) -> None:
        """Joins the entry to the run before and the run behind it."""
        at = bisect_right(self._runs, seal.sequence, key=lambda run: run.first)
        before = self._runs[at - 1] if at else None
        behind = self._runs[at] if at < len(self._runs) else None
        if before and seal.sequence <= before.last:
            self._find("TWICE", f"{_named(entry)} has the place of another entry", entry)
            return
        run = _Run(seal.sequence, seal.sequence, seal.previous, seal.hash)
        if before and before.last + 1 == run.first:
            self._join(before, run)
            run = before
        else:
            self._runs.insert(at, run)
        if behind and run.last + 1 == behind.first:
            self._join(run, behind)
            self._runs.remove(behind)

    def _join(self, run: _Run, behind: _Run) -> None:
        if run.hash != behind.previous:
            text = f"entry {behind.first} does not follow entry {run.last}: one of them was rewritten"
            self.findings.append(Finding("REWRITTEN", text, behind.first))
        run.last, run.hash = behind.last, behind.hash

    def _judge_head(self, head_now: SealHead | None) -> None:
        for head in (self.head, head_now):
            if head and (head.tenant_id != self.tenant_id or not self.signer.holds(self.tenant_id, head)):
                self.findings.append(Finding("HEAD_FORGED", "the head's signature does not hold", head.sequence))
                break
        seen = self._runs[-1].last if self._runs else 0
        if head_now is None and seen:
            text = f"entries are sealed up to {seen}, and there is no head"
            self.findings.append(Finding("HEAD_MISSING", text, seen))
        elif head_now and seen > head_now.sequence:
            text = f"the head ends at entry {head_now.sequence}, and entry {seen} is sealed"
            self.findings.append(Finding("HEAD_FORGED", text, head_now.sequence))
        if self._runs and self._runs[0].first == 1 and self._runs[0].previous != GENESIS:
            self.findings.append(Finding("REWRITTEN", "entry 1 does not begin the chain", 1))

    def _judge_gaps(self) -> None:
        """What must be there, up to the head as it was before the first entry was read, and was not seen."""
        end = self.head.sequence if self.head else 0
        expected = 1
        for run in self._runs:
            self._missing(expected, min(run.first - 1, end), "REMOVED")
            expected = run.last + 1
        self._missing(expected, end, "CUT")

    def _missing(self, first: int, last: int, kind: Literal["REMOVED", "CUT"]) -> None:
        if first > last:
            return
        what = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        text = f"{what} removed" if kind == "REMOVED" else f"{what} cut off the end"
        self.findings.append(Finding(kind, text, first))

    def _find(self, kind: Kind, text: str, entry: AuditEntry | None = None) -> None:
        sequence = entry.seal.sequence if entry and entry.seal else None
        self.findings.append(Finding(kind, text, sequence))


def _named(entry: AuditEntry) -> str:
    place = f"entry {entry.seal.sequence}" if entry.seal else "the entry"
    return f"{place} ({entry.action} of {entry.subject}, {entry.id})"
