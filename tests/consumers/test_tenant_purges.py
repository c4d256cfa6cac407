"""The loop of `housekeeping` that purges tenants."""

from bbws.consumers import CONSUMERS
from bbws.consumers.app import build
from bbws.shared.contracts.audit import AuditEntry
from tests.support.market import Market
from tests.support.tenants import trail_of


async def test_housekeeping_carries_out_purges_and_says_that_it_was_it(market: Market) -> None:
    """Nobody sends a message for a purge: the loop finds it, and the trail names the process that did it."""
    tenant, records = await market.tenant(), market.services.tenant_records
    operation = await records.order_purge(tenant.id, actor="admin")
    consumer = build(CONSUMERS["housekeeping"].register, market.services.settings)
    (loop,) = (loop for loop in consumer.loops if loop.name == "tenant-purges")
    assert await loop.run(market.services) == 1
    assert (await market.services.operations.get(operation.id)).status == "SUCCEEDED"
    assert await loop.run(market.services) == 0
    trail = await trail_of(market.services.database, tenant.id)
    assert [_told(entry) for entry in trail if entry.action == "TENANT_PURGED"] == [("tenant-purge", "tenant-purges")]


def _told(entry: AuditEntry) -> tuple[str, str | None]:
    return entry.actor, entry.details.source if entry.details else None
