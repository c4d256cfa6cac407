"""Reads no queue: looks every few seconds for what a crash left in the outbox, for ITNs that are not judged yet, and
for audit entries that are not in their hash chain yet.

A repeat is harmless: an event published twice has one id, an ITN is judged once and a chain extended once, each by the
condition of its write.
"""

from bbws.consumers.app import Consumer
from bbws.shared.bootstrap import Services


def register(consumer: Consumer) -> None:
    interval_s = consumer.settings.outbox_sweep_interval_s
    consumer.loop("outbox", _sweep_outbox, interval_s)
    consumer.loop("payment-notices", _judge_notices, interval_s)
    consumer.loop("audit-seals", _seal_audit, interval_s)


async def _sweep_outbox(services: Services) -> int:
    return await services.outbox.sweep() + await services.tenant_outbox.sweep()


async def _judge_notices(services: Services) -> int:
    return await services.payments.judge_due()


async def _seal_audit(services: Services) -> int:
    return await services.audits.seal_due()
