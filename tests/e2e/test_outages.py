"""A dependency goes away under load: subscribers wait for it, nothing is dropped, nothing lands in the dead letters."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bbws.up import System
from tests.support.shop import Shop, open_shop
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("outages")]

# The requirement names two minutes; BBWS_TEST_OUTAGE_S=120 waits that long.
OUTAGE_S = float(os.environ.get("BBWS_TEST_OUTAGE_S", "6"))
DONE_WITHIN_S = 30
ORDERS = 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    system = System(
        tmp_path_factory.mktemp("outages"),
        payfast_retry_base_s=0.5,
        settings={"receive_wait_s": 1, "outbox_grace_s": 2, "outbox_sweep_interval_s": 0.5},
    )
    async with system, open_shop(system) as shop:
        yield shop


@pytest.mark.parametrize("service", ["dynamodb", "s3", "sesv2"])
async def test_an_outage_under_load_loses_nothing(shop: Shop, service: str) -> None:
    """C-37: an outage must not empty the queues into the dead letters."""
    orders = [await shop.order() for _ in range(ORDERS)]
    payments = [asyncio.create_task(shop.pay(order)) for order in orders]
    await asyncio.wait(payments, return_when=asyncio.FIRST_COMPLETED)
    await shop.aws.inject(service)
    named = "ses" if service == "sesv2" else service

    async def readiness_names_it() -> bool:
        return named in str(await shop.get("/readyz"))

    await eventually(readiness_names_it, what=f"/readyz names {named}")
    await asyncio.sleep(OUTAGE_S)
    assert not [name for name in await shop.backlog() if name.endswith("-dlq")]
    await shop.aws.heal()
    await asyncio.gather(*payments)
    await shop.until_done(*orders, within_s=DONE_WITHIN_S)
    for order in orders:
        await shop.assert_exactly_once(order)


async def test_an_outage_of_the_bus_leaves_events_to_the_relay(shop: Shop) -> None:
    """The payment is safe in the outbox; PayFast's notice was answered 200 and will not come again."""
    order = await shop.order()
    await shop.aws.inject("events", operation="PutEvents")
    await shop.pay(order)

    async def verified() -> bool:
        return any(item.get("state") == "VERIFIED" for item in await shop.items_beside(order))

    await eventually(verified, what="the notice is judged")
    await shop.aws.heal()
    await shop.until_done(order)
    await shop.assert_exactly_once(order)
