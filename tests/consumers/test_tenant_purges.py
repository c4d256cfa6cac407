"""The loop of `housekeeping` that purges tenants."""

from bbws.consumers import CONSUMERS
from bbws.consumers.app import Loop, build
from bbws.shared.bootstrap import bootstrap
from bbws.shared.contracts.audit import AuditEntry
from bbws.shared.settings import Settings
from bbws.shared.tenancy.services.tenants import GRACE
from tests.support.emulator import Aws
from tests.support.market import Market, MovedClock
from tests.support.tenants import trail_of


def _purges(settings: Settings) -> Loop:
    consumer = build(CONSUMERS["housekeeping"].register, settings)
    (loop,) = (loop for loop in consumer.loops if loop.name == "tenant-purges")
    return loop


async def test_housekeeping_carries_out_purges_and_says_that_it_was_it(market: Market) -> None:
    """Nobody sends a message for a purge: the loop finds it, and the trail names the process that did it."""
    tenant, records = await market.tenant(), market.services.tenant_records
    operation = await records.order_purge(tenant.id, actor="admin")
    loop = _purges(market.services.settings)
    assert await loop.run(market.services) == 1
    assert (await market.services.operations.get(operation.id)).status == "SUCCEEDED"
    assert await loop.run(market.services) == 0
    trail = await trail_of(market.services.database, tenant.id)
    assert [_by(entry) for entry in trail if entry.action == "TENANT_PURGED"] == [("tenant-purge", "tenant-purges")]


async def test_housekeeping_purges_what_was_deleted_long_enough_ago(aws: Aws, provisioned: Settings) -> None:
    """Nobody orders the purge of a tenant that its owner deleted: its time comes."""
    async with bootstrap(provisioned, clock=(clock := MovedClock())) as services:
        tenant = await Market(aws, services).tenant()
        await services.tenants.delete(tenant.id, version=tenant.version, actor="owner")
        loop = _purges(provisioned)
        assert await loop.run(services) == 0
        clock.advance(GRACE.total_seconds() + 1)
        assert await loop.run(services) == 2
        assert (await services.tenants.get(tenant.id)).purged_at is not None


def _by(entry: AuditEntry) -> tuple[str, str | None]:
    return entry.actor, entry.details.source if entry.details else None
