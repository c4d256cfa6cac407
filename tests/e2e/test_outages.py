"""A dependency goes away under load: subscribers wait for it, nothing is dropped, nothing lands in the dead letters."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bbws.local.up import System
from tests.support.forks import forked
from tests.support.shop import MAIL_KINDS, Shop, open_shop
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

# Real time: the processes have clocks of their own, and that nothing is buried shows only while it lasts.
# The requirement names two minutes; BBWS_TEST_OUTAGE_S=120 waits that long.
OUTAGE_S = float(os.environ.get("BBWS_TEST_OUTAGE_S", "4"))
THROTTLED_S = max(OUTAGE_S, 15)
DONE_WITHIN_S = 30
ORDERS = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    system = System(
        tmp_path_factory.mktemp("outages"),
        spawn=forked,
        payfast_retry_base_s=0.5,
        settings={"receive_wait_s": 1, "outbox_grace_s": 2, "housekeeping_interval_s": 0.5, "itn_check_after_s": 2},
    )
    async with system, open_shop(system) as shop:
        yield shop


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _undisturbed(shop: Shop) -> AsyncIterator[None]:
    """A test finds nothing that another one switched on."""
    yield
    await shop.reset()


@pytest.mark.parametrize("services", [("dynamodb",), ("s3", "sesv2")], ids="+".join)
async def test_an_outage_under_load_loses_nothing(shop: Shop, services: tuple[str, ...]) -> None:
    """C-37: an outage must not empty the queues into the dead letters."""
    orders = [await shop.order() for _ in range(ORDERS)]
    # Each notice is stored; one that is refused during the outage comes when PayFast sends it again, in its own time.
    await asyncio.gather(*(shop.pay(order) for order in orders))
    for service in services:
        await shop.aws.inject(service)
    named = {service.removesuffix("v2") for service in services}

    async def readiness_names_them() -> bool:
        answer = str(await shop.get("/readyz"))
        return all(name in answer for name in named)

    await eventually(readiness_names_them, what=f"/readyz names {named}")
    await asyncio.sleep(OUTAGE_S)
    assert not await shop.dead_letters()
    await shop.aws.heal()
    await shop.until_done(*orders, within_s=DONE_WITHIN_S)
    for order in orders:
        await shop.assert_exactly_once(order)


async def test_throttled_work_behind_a_healthy_ping_is_only_late(shop: Shop) -> None:
    """SES refuses mails and says that it is well: each trial is a receive, and SQS must not count them as crashes."""
    await shop.aws.inject(
        "sesv2", operation="POST /v2/email/outbound-emails", status=429, code="TooManyRequestsException"
    )
    orders = [await shop.order() for _ in range(3)]
    for order in orders:
        await shop.pay(order)
    await asyncio.sleep(THROTTLED_S)
    assert not await shop.dead_letters()
    assert not any([await shop.mails_of(order) for order in orders]), "nothing was throttled"
    await shop.aws.heal()
    await shop.until_done(*orders, within_s=DONE_WITHIN_S)
    assert not await shop.dead_letters()
    for order in orders:
        assert await shop.mails_of(order) == dict.fromkeys(MAIL_KINDS, 1)
        await shop.assert_exactly_once(order)


async def test_an_outage_of_the_bus_leaves_events_to_housekeeping(shop: Shop) -> None:
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
