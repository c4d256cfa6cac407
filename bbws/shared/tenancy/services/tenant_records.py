"""What is kept of a tenant: exported as JSON Lines, and purged once nobody may bring the tenant back (C-28).

A purge is an operation: ordered by an administrator or by the end of the 30 days, carried out by `housekeeping`. Each
step may be repeated, so that a crash anywhere only means that another process begins again after `LEASE`.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import orjson

from bbws.shared.clock import Clock
from bbws.shared.contracts.audit import PURGED
from bbws.shared.contracts.operations import Operation
from bbws.shared.contracts.tenancy.tenant_events import TenantDeleted
from bbws.shared.contracts.tenancy.tenants import Hold, Tenant
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.due import each
from bbws.shared.core.outbox import Outbox
from bbws.shared.core.tenant_items import Kind, Purge, StoredItem
from bbws.shared.dynamo.database import ConditionFailed, Database, Write
from bbws.shared.errors import BbwsError, NotYet, PreconditionFailed, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.logging import get_logger
from bbws.shared.tenancy.changes import Change, TenantChanges
from bbws.shared.tenancy.repositories.operations import OperationChanged, OperationRepository
from bbws.shared.tenancy.repositories.tenant_records import TenantRecordRepository
from bbws.shared.tenancy.repositories.tenants import TenantChanged, TenantRepository

PURGER = "tenant-purge"
# Whoever carries out a purge and is silent for so long has crashed.
LEASE = timedelta(minutes=5)
RETRY_AFTER = timedelta(minutes=1)
MAX_FAILURES = 5
JSON_LINES = "application/jsonl"

log = get_logger(__name__)


class TenantRecords:
    """`kinds`: everything that may stand under a tenant, or beside an order."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        audit: AuditEntries,
        clock: Clock,
        documents: DocumentStore,
        kinds: Iterable[Kind],
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._documents = documents
        self._tenants = TenantRepository(database)
        self._operations = OperationRepository(database)
        self._records = TenantRecordRepository(database, kinds)
        self._changes = TenantChanges(database, outbox, audit, clock)

    async def export(self, tenant_id: str, *, actor: str) -> AsyncIterator[bytes]:
        """Everything that is stored of the tenant, a line of JSON for each item; who took it is in the audit trail.

        Raises NotFound before the first line.
        """
        await self._tenants.get(tenant_id)
        subject = f"tenants/{tenant_id}"
        await self._database.write(
            self._audit.entry("TENANT_EXPORTED", tenant_id=tenant_id, subject=subject, actor=actor)
        )
        return self._lines(tenant_id)

    async def order_purge(self, tenant_id: str, *, version: int | None = None, actor: str) -> Operation:
        """The tenant is deleted, for good, and the operation that purges it is on its way; the same one for a repeat,
        and begun anew where it had failed. Raises PreconditionFailed unless `version` is the newest."""
        operation_id = new_id()

        def decide(tenant: Tenant, now: datetime) -> Change | None:
            return None if tenant.purge_operation_id else self._ordered(tenant, operation_id, now, actor)

        tenant = await self._changes.make(
            tenant_id, decide, actor=actor, action="TENANT_PURGE_ORDERED", version=version
        )
        operation = await self._current(tenant_id, tenant.purge_operation_id or operation_id)
        return await self._begin_anew(operation, actor) if operation.status == "FAILED" else operation

    async def order_due_purges(self) -> int:
        """Tenants that were deleted 30 days ago are to be purged; returns how many."""
        due = await self._tenants.list_to_purge(self._clock())
        return await each(due, self._order_due, name=lambda tenant: tenant.id)

    async def _order_due(self, tenant: Tenant) -> bool:
        try:
            await self.order_purge(tenant.id, version=tenant.version, actor=PURGER)
        except PreconditionFailed:
            # Restored at this moment, or ordered by another process.
            return False
        return True

    async def purge_due(self) -> int:
        """Every purge that waits is carried out, or tried; returns how many.

        Raises Unavailable at the first sign of an outage: the next ones would only wait for the same time-out.
        """
        due = await self._operations.list_due(self._clock())
        return await each(due, self._take_and_try, name=lambda operation: operation.id)

    async def _take_and_try(self, operation: Operation) -> bool:
        try:
            taken = await self._next(operation, self._clock() + LEASE, status="RUNNING")
        except OperationChanged:
            return False
        await self._try(taken)
        return True

    async def _try(self, operation: Operation) -> None:
        try:
            await self._purge(operation)
        except (OperationChanged, TenantChanged):
            log.info("another process carried out the purge", operation_id=operation.id)
        except NotYet as error:
            later = self._clock() + timedelta(seconds=error.retry_after_s)
            await self._give_back(operation, later, status="PENDING", error=error.detail)
        except Unavailable:
            await self._give_back(operation, self._clock() + RETRY_AFTER, status="PENDING")
            raise
        except Exception as error:
            log.exception("purge failed", tenant_id=operation.tenant_id, operation_id=operation.id)
            await self._failed(operation, error)

    async def _purge(self, operation: Operation) -> None:
        tenant = await self._tenants.get(operation.tenant_id)
        key = f"exports/{tenant.id}/{operation.id}.jsonl"
        # Written once: after a crash there is less to export than at first.
        await self._documents.put_once(key, b"".join([line async for line in self._lines(tenant.id)]), JSON_LINES)
        await self._erase(tenant.id, last=False)
        if tenant.purged_at is None:
            await self._forget(tenant)
        # Audit details go when the trail says why they are missing; with them what came meanwhile.
        await self._erase(tenant.id, last=True)
        await self._next(operation, None, status="SUCCEEDED", document_key=key, error=None)
        log.info("tenant purged", tenant_id=tenant.id, operation_id=operation.id)

    async def _lines(self, tenant_id: str) -> AsyncIterator[bytes]:
        async for record in self._records.everything(tenant_id):
            line = {"table": record.table, "item": record.item}
            yield orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE)

    async def _erase(self, tenant_id: str, *, last: bool) -> None:
        """Nothing personal is left in what the tenant has, with `last` in what is erased last either.

        Looks again until it finds nothing: an order may have been on its way when the tenant was deleted.
        """
        found = True
        while found:
            found = False
            async for record in self._records.everything(tenant_id):
                write = self._records.erasure(record, Purge(tenant_id, self._clock(), PURGER), last=last)
                if write:
                    await self._write(write, record)
                    found = True

    async def _write(self, write: Write, record: StoredItem) -> None:
        try:
            await self._database.write(write)
        except ConditionFailed:
            log.info("a record changed while it was erased", table=record.table, kind=record.kind)

    async def _forget(self, tenant: Tenant) -> None:
        """The tenant has no name any more and its guards are gone; the trail says that it was purged."""
        now = self._clock()
        assert tenant.deleted is not None, "only what is deleted is purged"
        purged = tenant.changed(
            by=PURGER,
            at=now,
            email=Purge(tenant.id, now, PURGER).stand_in_email,
            organization_name=None,
            destination_email=None,
            parked=None,
            suspended=None,
            deleted=tenant.deleted.replace(reason=None),
            purged_at=now,
        )
        subject = f"tenants/{tenant.id}"
        # Without before and after: they would hold what was just erased.
        entry = self._audit.entry(PURGED, tenant_id=tenant.id, subject=subject, actor=PURGER)
        await self._database.transact([*self._tenants.changed(tenant, purged), entry])

    def _ordered(self, tenant: Tenant, operation_id: str, now: datetime, actor: str) -> Change:
        operation = Operation(
            id=operation_id,
            tenant_id=tenant.id,
            kind="TENANT_PURGE",
            date_created=now,
            date_last_updated=now,
            last_updated_by=actor,
        )
        fields: dict[str, object] = {"purge_at": now, "purge_operation_id": operation_id}
        if tenant.deleted is None:
            fields["deleted"] = Hold(since=now, by=actor)
        event = None if tenant.deleted else TenantDeleted
        return Change(fields, event, written=self._operations.new(operation, due_at=now))

    async def _begin_anew(self, operation: Operation, actor: str) -> Operation:
        begun = operation.changed(by=actor, at=self._clock(), status="PENDING", failures=0)
        subject = f"tenants/{operation.tenant_id}"
        entry = self._audit.entry("TENANT_PURGE_ORDERED", tenant_id=operation.tenant_id, subject=subject, actor=actor)
        try:
            await self._database.transact([self._operations.changed(begun, self._clock()), entry])
        except OperationChanged:
            return await self._current(operation.tenant_id, operation.id)
        return begun

    async def _failed(self, operation: Operation, error: Exception) -> None:
        told = error.detail if isinstance(error, BbwsError) else f"{type(error).__name__}; the log says more"
        failures = operation.failures + 1
        if failures < MAX_FAILURES:
            later = self._clock() + RETRY_AFTER
            await self._give_back(operation, later, status="PENDING", failures=failures, error=told)
        else:
            await self._give_back(operation, None, status="FAILED", failures=failures, error=told)

    async def _give_back(self, operation: Operation, due_at: datetime | None, **changes: object) -> None:
        """Where another process has taken it over meanwhile, it is that one's."""
        with suppress(OperationChanged):
            await self._next(operation, due_at, **changes)

    async def _next(self, operation: Operation, due_at: datetime | None, **changes: object) -> Operation:
        following = operation.changed(by=PURGER, at=self._clock(), **changes)
        await self._database.write(self._operations.changed(following, due_at))
        return following

    async def _current(self, tenant_id: str, operation_id: str) -> Operation:
        operation = await self._operations.find(tenant_id, operation_id)
        assert operation is not None, "a tenant and its purge are written together"
        return operation
