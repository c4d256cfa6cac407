"""Reads no queue: looks every `BBWS_HOUSEKEEPING_INTERVAL_S` seconds for what is due or what a crash left; publishes
the events that wait in the outboxes.

Each loop says why a second process that looks at the same time is harmless. Its name is what the audit trail gives
as the source of its changes.
"""

from bbws.consumers.app import Consumer
from bbws.shared.bootstrap import Services


def register(consumer: Consumer) -> None:
    often_s = consumer.settings.housekeeping_interval_s
    # Of sales
    consumer.loop("order-outbox", publish_order_events, often_s)
    consumer.loop("payment-notices", judge_payment_notices, often_s)
    # Of tenancy
    consumer.loop("tenant-outbox", publish_tenant_events, often_s)
    consumer.loop("tenant-purges", purge_tenants, often_s)
    consumer.loop("staff-groups", apply_staff_roles, often_s)
    # Of every area
    consumer.loop("audit-seals", seal_audit_entries, often_s)


async def publish_order_events(services: Services) -> int:
    """Events of sales that a crash or an outage left. One process takes a row; sent twice, an event keeps its id."""
    return await services.outbox.sweep()


async def judge_payment_notices(services: Services) -> int:
    """ITNs that nobody judged, or that PayFast could not be asked about. A guard item lets one judgement count."""
    return await services.payment_notices.judge_due()


async def publish_tenant_events(services: Services) -> int:
    """Events of tenancy that a crash or an outage left, as those of sales."""
    return await services.tenant_outbox.sweep()


async def purge_tenants(services: Services) -> int:
    """Tenants deleted 30 days ago, and purges that wait. One process has the lease; what is erased stays erased."""
    return await services.tenant_records.order_due_purges() + await services.tenant_records.purge_due()


async def apply_staff_roles(services: Services) -> int:
    """Groups of the user pool that are not as staff records say. One process takes a record at a time."""
    return await services.staff.apply_due()


async def seal_audit_entries(services: Services) -> int:
    """Audit entries outside their hash chain. Its head is replaced only as it was read, so one process extends it."""
    return await services.audit_trails.seal_due()
