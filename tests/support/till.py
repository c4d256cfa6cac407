"""A market that takes money: customers who pay at PayFast's stand-in, and what its notices lead to.

Fixtures `till` and `own_till`, for the `conftest.py` of who needs them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bbws.shared.bootstrap import bootstrap
from bbws.shared.contracts.sales.order_events import OrderCreated
from bbws.shared.contracts.sales.orders import Checkout, Order
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.settings import Settings
from tests.support.emulator import Aws, Target
from tests.support.market import Market, MovedClock
from tests.support.payfast import PASSPHRASE, PayfastWorld, payfast_world
from tests.support.system import provisioned_account, settings_for

PAYFAST = "127.0.0.1"
STRANGER = "198.51.100.7"


@dataclass(frozen=True)
class Till(Market):
    """A market that takes money: with PayFast's stand-in, and a clock that tests move."""

    payfast: PayfastWorld
    clock: MovedClock

    def checkout(self, order: Order) -> Checkout:
        return self.services.orders.checkout(order)

    async def paid(self, order: Order, **behaviour: Any) -> bytes:
        return await self.payfast.pay(self.checkout(order), **behaviour)

    async def receive(self, raw_body: bytes, source: str = PAYFAST) -> tuple[str, str | None]:
        notice = await self.judged(raw_body, source)
        return notice.state, notice.reason

    async def judged(self, raw_body: bytes, source: str = PAYFAST) -> PaymentNotice:
        """Received and judged, as the gateway does one after the other."""
        notices = self.services.payment_notices
        received = await notices.receive(raw_body, source)
        return await notices.judge(received.notice, received.itn) if received.itn else received.notice

    async def events_of(self, order: Order) -> list[OrderCreated]:
        return [event for event in await self.published("order-record") if event.data.order.id == order.id]

    async def notices_of(self, order: Order) -> list[dict[str, Any]]:
        return [item for item in await self.items_beside(order) if item["SK"].startswith("ITN#")]

    async def is_untouched(self, order: Order) -> bool:
        now = await self.services.orders.get(order.tenant_id, order.id)
        return now == order and await self.events_of(order) == []


@asynccontextmanager
async def open_till(aws: Aws, **changes: Any) -> AsyncIterator[Till]:
    clock = MovedClock()
    async with payfast_world() as payfast:
        addresses = {"payfast_url": payfast.url, "public_base_url": payfast.shop_url}
        given = settings_for(aws).model_dump(exclude_unset=True) | addresses
        settings = Settings(**given | {"payfast_passphrase": PASSPHRASE, "payfast_validate_timeout_s": 5} | changes)
        async with bootstrap(settings, clock=clock) as services:
            yield Till(aws, services, payfast, clock)


@pytest.fixture
async def till(shared_aws: Aws) -> AsyncIterator[Till]:
    async with open_till(shared_aws) as opened:
        yield opened


@pytest.fixture
async def own_till(emulator: Target) -> AsyncIterator[Till]:
    """In an account of the test's own, where nothing else is due and faults hurt nobody."""
    aws = await provisioned_account(emulator)
    async with open_till(aws) as opened:
        yield opened
    await aws.heal()
