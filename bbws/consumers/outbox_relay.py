"""Reads no queue: looks every few seconds for what a crash left in the outbox, for ITNs that are not judged yet,
for tenants that are to be purged, for groups of staff that differ, and for audit entries outside their hash chain.

A repeat is harmless: an event published twice has one id, an ITN is judged once and a chain extended once, each by the
condition of its write, and what is purged already stays so.
"""

from bbws.consumers.app import Consumer
from bbws.shared.bootstrap import Services


def register(consumer: Consumer) -> None:
    interval_s = consumer.settings.outbox_sweep_interval_s
    consumer.loop("outbox", _sweep_outbox, interval_s)
    consumer.loop("payment-notices", _judge_notices, interval_s)
    consumer.loop("tenant-purges", _purge_tenants, interval_s)
    consumer.loop("staff-groups", _apply_staff, interval_s)
    consumer.loop("audit-seals", _seal_audit, interval_s)


async def _sweep_outbox(services: Services) -> int:
    return await services.outbox.sweep() + await services.tenant_outbox.sweep()


async def _judge_notices(services: Services) -> int:
    return await services.payments.judge_due()


async def _purge_tenants(services: Services) -> int:
    return await services.tenant_records.order_due_purges() + await services.tenant_records.purge_due()


async def _apply_staff(services: Services) -> int:
    """Groups of the user pool that an outage or a crash left other than the staff's records wish."""
    return await services.staff.apply_due()


async def _seal_audit(services: Services) -> int:
    return await services.audits.seal_due()
