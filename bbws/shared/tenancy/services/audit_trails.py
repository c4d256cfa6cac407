"""The audit trail as a whole: read, exported, sealed and verified. Entries are made by the services that change."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from bbws.shared.clock import Clock
from bbws.shared.contracts.audit import PLATFORM, AuditEntry, SealHead
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.audit_entries import AuditRepository, HeadMoved, StoredEntry
from bbws.shared.core.due import each
from bbws.shared.core.items import BrokenItem
from bbws.shared.dynamo.database import ConditionFailed, Database, Write
from bbws.shared.logging import get_logger
from bbws.shared.tenancy.repositories.tenants import TenantRepository
from bbws.shared.tenancy.rules.audit_chain import Anchor, AuditReport, HeadSigner, Verification, extend

# With the chain's head below the 100 writes that DynamoDB takes in a transaction, and below its 4 MB.
SEALED_AT_ONCE = 90
MAX_SEALED_BYTES = 3_000_000
# Housekeeping seals every few seconds; what still waits after this was left out on purpose, or nobody seals.
PATIENCE = timedelta(minutes=10)

log = get_logger(__name__)


class AuditTrails:
    def __init__(self, database: Database, audit: AuditEntries, clock: Clock, keys: Sequence[str]) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._trail = AuditRepository(database)
        self._tenants = TenantRepository(database)
        self._signer = HeadSigner(keys)

    async def record(
        self, action: str, *, subject: str, actor: str, after: Mapping[str, Any], correlation_id: str
    ) -> None:
        """The platform's trail says so: for what changes something beyond the tables."""
        entry = self._audit.entry(
            action, tenant_id=PLATFORM, subject=subject, actor=actor, after=after, correlation_id=correlation_id
        )
        await self._database.write(entry)

    async def list(self, tenant_id: str, page: PageRequest) -> Page[AuditEntry]:
        """Newest first. Raises NotFound for a tenant that never was; that of a purged one is still there."""
        found = await self._trail.list_of_tenant(tenant_id, page)
        if not found.items and page.cursor is None:
            await self._must_exist(tenant_id)
        return found

    async def export(self, tenant_id: str) -> AsyncIterator[AuditEntry]:
        """The whole trail, oldest first. Raises NotFound as `list`, BrokenItem at an item that is no entry."""
        is_empty = True
        async for page in self._trail.all_of_tenant(tenant_id):
            for stored in page:
                if stored.entry is None:
                    raise BrokenItem(f"{' | '.join(stored.key)} is no entry of this trail")
                is_empty = False
                yield stored.entry
        if is_empty:
            await self._must_exist(tenant_id)

    async def seal_due(self) -> int:
        """Every entry that waits is behind its trail's chain; returns how many this sealer added.

        What another sealer took at the same moment is left to it. A trail whose head does not hold is not extended:
        that would sign what somebody forged.
        """
        sealed = 0
        async for page in self._trail.due(self._clock()):
            sealed += await each(_by_trail(page), self._seal, name=itemgetter(0))
        return sealed

    async def verify(
        self, tenant_id: str, *, anchor: Anchor | None = None, patience: timedelta = PATIENCE
    ) -> AuditReport:
        """What the trail shows, read once from its beginning. Raises NotFound as `list`."""
        head, head_is_broken = await self._read_head(tenant_id)
        verification = Verification(tenant_id, self._signer, head, self._clock() - patience, anchor)
        async for page in self._trail.all_of_tenant(tenant_id):
            for stored in page:
                verification.see(stored)
        if head is None and not verification.has_entries and not head_is_broken and tenant_id != PLATFORM:
            if anchor is None:
                await self._must_exist(tenant_id)
            verification.find_wiped()
        head_now, _ = await self._read_head(tenant_id)
        return verification.report(head_now, head_is_broken=head_is_broken)

    async def _must_exist(self, tenant_id: str) -> None:
        if tenant_id != PLATFORM:
            await self._tenants.get(tenant_id)

    async def _read_head(self, tenant_id: str) -> tuple[SealHead | None, bool]:
        """The head, and whether something else stands in its place."""
        try:
            return await self._trail.find_head(tenant_id), False
        except BrokenItem:
            return None, True

    async def _seal(self, trail: tuple[str, Sequence[AuditEntry]]) -> int:
        """Returns how many were sealed."""
        tenant_id, entries = trail
        head, is_broken = await self._read_head(tenant_id)
        if is_broken or (head and not self._signer.holds(tenant_id, head)):
            log.error("audit trail is not sealed: the signature of its head does not hold", tenant_id=tenant_id)
            return 0
        sealed = 0
        for batch in _batches(entries):
            try:
                head = await self._extend(tenant_id, head, batch)
            except (HeadMoved, ConditionFailed):
                log.info("audit trail is being sealed by another process", tenant_id=tenant_id)
                break
            sealed += len(batch)
        return sealed

    async def _extend(self, tenant_id: str, head: SealHead | None, entries: Iterable[AuditEntry]) -> SealHead:
        seals = list(extend(head, entries))
        extended = self._signer.sign(tenant_id, seals[-1][1], self._clock())
        writes: list[Write] = [self._trail.head(extended, head)]
        await self._database.transact([*writes, *(self._trail.sealed(entry, seal) for entry, seal in seals)])
        # Whoever rewrites the table cannot rewrite this line: it anchors the chain outside.
        log.info("audit trail sealed", tenant_id=tenant_id, sequence=extended.sequence, hash=extended.hash)
        return extended


def _by_trail(page: Iterable[StoredEntry]) -> Iterator[tuple[str, list[AuditEntry]]]:
    """What can be sealed of a page of the index; anything else would be refused again and again, and is left out."""
    waiting = [stored.entry for stored in page if stored.entry and stored.entry.seal is None]
    waiting.sort(key=lambda entry: (entry.tenant_id, entry.at, entry.id))
    for tenant_id, entries in groupby(waiting, key=lambda entry: entry.tenant_id):
        yield tenant_id, list(entries)


def _batches(entries: Iterable[AuditEntry]) -> Iterator[list[AuditEntry]]:
    batch: list[AuditEntry] = []
    size = 0
    for entry in entries:
        weight = len(entry.model_dump_json())
        if batch and (len(batch) == SEALED_AT_ONCE or size + weight > MAX_SEALED_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += weight
    if batch:
        yield batch
