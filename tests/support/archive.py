"""What is kept of a customer, and what a purge leaves of it.

The fixture `archive` is for the `conftest.py` of who needs it.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from bbws.shared.bootstrap import bootstrap
from bbws.shared.contracts.operations import Operation
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.core.items import item_of
from bbws.shared.core.mail_claims import MailRepository, mail_of_order
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.ids import new_id
from bbws.shared.sales.repositories.payment_notices import PaymentNoticeRepository
from bbws.shared.settings import Settings
from tests.support.builders import an_invoice
from tests.support.emulator import Aws
from tests.support.market import Market, MovedClock, paid

ADMIN = "admin"
PAYER = "thandi@protea.example"
# Everything personal that the tenant of these tests has anywhere, but for the invoice.
PERSONAL = (PAYER, "Thandi Nkosi", "Jan Smuts", "owner-of-", "Org of ", "sipho@protea.example")


@dataclass(frozen=True)
class Archive(Market):
    """A market whose clock tests move."""

    clock: MovedClock

    @property
    def database(self) -> Database:
        return self.services.database

    async def customer(self) -> tuple[Tenant, Order]:
        """A tenant with a user, a division, and a paid order with everything that stands beside one."""
        name = new_id()
        tenant = await self.tenant(email=f"owner-of-{name}@example.com", organization_name=f"Org of {name}")
        order = await self.place(tenant, await self.product())
        await self.services.payments.record(paid(order))
        for sort_key, person in ((f"USER#{new_id()}", PAYER), ("HIERARCHY#sales##", "sipho@protea.example")):
            await self.database.write(Put("bbws-tenants", {"PK": f"TENANT#{tenant.id}", "SK": sort_key, "by": person}))
        # As the sealer writes it: the end of the trail's hash chain.
        await self.database.write(Put("bbws-tenants", {"PK": f"TENANT#{tenant.id}", "SK": "SEAL", "sequence": 1}))
        await self._beside(order)
        return tenant, order

    async def _beside(self, order: Order) -> None:
        invoice = an_invoice(await self.services.orders.get(order.tenant_id, order.id))
        key = (f"TENANT#{order.tenant_id}#ORDER#{order.id}", f"INVOICE#{invoice.number}")
        await self.database.write(Put("orders", item_of(invoice, key)))
        mails, now = MailRepository(self.database), self.clock()
        place = mail_of_order(order.tenant_id, order.id, "receipt")
        await mails.claim(place, "receipt", now=now, lease_until=now)
        await mails.sent(place, message_id="m", recipients=PAYER, now=now)
        await self.notice(order, state="VERIFIED")

    async def notice(self, order: Order, **fields: Any) -> PaymentNotice:
        """What PayFast said of the order, with the name of who paid; judged, unless `fields` say otherwise."""
        itn = PaymentNotice(
            sha256=new_id().replace("-", "") * 2,
            raw_body=f"email_address={PAYER}",
            source_address="127.0.0.1",
            received_at=self.clock(),
            tenant_id=order.tenant_id,
            order_id=order.id,
        )
        stored = await PaymentNoticeRepository(self.database).store(itn, self.clock())
        if fields:
            judged = stored.model_copy(update=fields)
            await self.database.write(PaymentNoticeRepository(self.database).decided(judged))
        return stored

    async def order_purge(self, tenant: Tenant) -> Operation:
        return await self.services.tenant_records.order_purge(tenant.id, actor=ADMIN)

    async def purge(self, tenant: Tenant) -> Operation:
        operation = await self.order_purge(tenant)
        assert await self.services.tenant_records.purge_due() == 1
        return await self.services.operations.get(operation.id)

    async def stored(self, tenant: Tenant, order: Order) -> list[dict[str, Any]]:
        """Everything that is stored under the tenant's keys."""
        partitions = [("bbws-tenants", f"TENANT#{tenant.id}"), ("orders", f"TENANT#{tenant.id}")]
        found = [await self.items(table, partition) for table, partition in partitions]
        return [*found[0], *found[1], *(await self.items_beside(order))]

    async def exported(self, operation: Operation) -> list[dict[str, Any]]:
        key = f"exports/{operation.tenant_id}/{operation.id}.jsonl"
        return [json.loads(line) for line in (await self.pdf(key)).splitlines()]


@pytest_asyncio.fixture
async def archive(aws: Aws, provisioned: Settings) -> AsyncIterator[Archive]:
    clock = MovedClock()
    async with bootstrap(provisioned, clock=clock) as services:
        yield Archive(aws, services, clock)


def personal(items: list[dict[str, Any]]) -> list[str]:
    """The keys of items that still hold something personal; an invoice names its recipient, as the law asks."""
    texts = {item["SK"]: json.dumps(item, default=str) for item in items if not item["SK"].startswith("INVOICE#")}
    return [key for key, text in texts.items() if any(word in text for word in PERSONAL)]
