"""Processes are really killed (SIGKILL) between an effect and its acknowledgement; every order still happens once."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from bbws.local.up import System
from bbws.shared.contracts.sales.order_events import PAYMENT_SOURCE
from tests.support.forks import forked
from tests.support.shop import MAIL_KINDS, Placed, Shop, open_shop
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

VISIBILITY_TIMEOUT_S = 3
MAIL_LEASE_S = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A running system whose dead consumers' messages come back after three seconds."""
    system = System(
        tmp_path_factory.mktemp("crashes"),
        spawn=forked,
        visibility_timeout_s=VISIBILITY_TIMEOUT_S,
        payfast_retry_base_s=0.5,
        settings={
            "receive_wait_s": 1,
            "mail_lease_s": MAIL_LEASE_S,
            "outbox_grace_s": 2,
            "housekeeping_interval_s": 0.5,
            "itn_check_after_s": 2,
        },
    )
    async with system, open_shop(system) as shop:
        yield shop


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _undisturbed(shop: Shop) -> AsyncIterator[None]:
    """A test finds nothing that another one switched on."""
    yield
    await shop.reset()


async def _is_paid(shop: Shop, order: Placed) -> bool:
    return bool((await shop.get(order.path))["status"] == "PAID")


async def _is_invoiced(shop: Shop, order: Placed) -> bool:
    return any(
        item["SK"].startswith("INVOICE#") and item["status"] == "ISSUED" for item in await shop.items_beside(order)
    )


async def _is_mailed(shop: Shop, order: Placed) -> bool:
    marked = [item for item in await shop.items_beside(order) if item["SK"].startswith("EMAIL#")]
    return len(marked) == len(MAIL_KINDS) and all(item["state"] == "SENT" for item in marked)


Effect = Callable[[Shop, Placed], Awaitable[bool]]


@pytest.mark.parametrize(
    ("consumer", "effect"), [("order-record", _is_paid), ("order-pdf", _is_invoiced), ("notify", _is_mailed)]
)
async def test_a_consumer_killed_before_its_acknowledgement_repeats_nothing(
    shop: Shop, consumer: str, effect: Effect
) -> None:
    """The effect stands and the message comes again: the moment in which a naive consumer does everything twice."""
    order = await shop.order()
    # No acknowledgement gets through, so that the kill surely falls between effect and acknowledgement.
    await shop.aws.inject("sqs", operation="DeleteMessageBatch")
    await shop.pay(order)
    await eventually(lambda: effect(shop, order), within_s=20, what=f"{consumer} has done its work")
    await shop.kill(consumer)
    await shop.aws.heal()
    await shop.until_done(order)
    await shop.assert_exactly_once(order)


async def test_order_pdf_killed_over_its_work_leaves_no_gap_in_the_numbers(shop: Shop) -> None:
    """A number that is taken must become an invoice, whoever finishes it."""
    order = await shop.order()
    await shop.aws.inject("s3", operation="PUT object", latency_ms=60_000)
    await shop.pay(order)

    async def numbered() -> bool:
        return any(item["SK"].startswith("INVOICE#") for item in await shop.items_beside(order))

    await eventually(numbered, within_s=20, what="the invoice has its number")
    await shop.kill("order-pdf")
    await shop.aws.heal()
    await shop.until_done(order)
    await shop.assert_exactly_once(order)
    assert await _numbers(shop) == list(range(1, len(await _numbers(shop)) + 1))


async def test_notify_killed_between_ses_and_its_note_sends_again_once(shop: Shop) -> None:
    """SES knows no idempotency (C-38): in this one window a mail is sent twice, and never lost."""
    order = await shop.order()
    # The note that a mail was sent hangs; by then SES has it.
    await shop.aws.inject("dynamodb", operation="UpdateItem", latency_ms=60_000)
    await shop.pay(order)
    kind = "order_confirmation_customer"

    async def handed_over() -> bool:
        return (await shop.mails_of(order))[kind] == 1

    await eventually(handed_over, within_s=20, what="SES has the mail")
    await shop.kill("notify")
    await shop.aws.heal()
    await shop.until_done(order, within_s=40)
    mails = await shop.mails_of(order)
    assert mails[kind] == 2
    assert set(mails.values()) <= {1, 2}


async def test_a_gateway_killed_before_it_publishes_loses_no_payment(shop: Shop) -> None:
    """State and event are committed together; housekeeping publishes what the gateway no longer could (C-25)."""
    order = await shop.order()
    await shop.aws.inject("events", operation="PutEvents", latency_ms=60_000)
    await shop.behave(sandbox_once=True)
    await shop.pay(order)

    async def committed() -> bool:
        return any(
            item["SK"].startswith("ITN#") and item["state"] == "VERIFIED" for item in await shop.items_beside(order)
        )

    await eventually(committed, within_s=20, what="the notice is judged")
    await shop.kill("gateway")
    await shop.aws.heal()
    await shop.until_done(order, within_s=40)
    await shop.assert_exactly_once(order)


async def test_five_notices_of_one_payment_are_one_payment(shop: Shop) -> None:
    """PayFast repeats a notice until it sees a 200, and sometimes after."""
    await shop.behave(duplicates=4)
    order = await shop.order()
    await shop.pay(order)
    await shop.until_done(order)
    await shop.assert_exactly_once(order)


async def test_every_message_delivered_twice_changes_nothing(shop: Shop) -> None:
    """SQS, SNS and EventBridge promise at least once, and mean it."""
    order = await shop.order()
    await shop.pay(order)
    await shop.until_done(order)
    published = await _publish_again(shop, order)
    assert published == {"ORDER_CREATED", "INVOICE_ISSUED"}
    await shop.until_done(order)
    await shop.assert_exactly_once(order)


async def test_many_orders_survive_a_kill_of_every_process(shop: Shop) -> None:
    """Nobody chooses the moment of a crash: all processes die once in the middle of ten orders."""
    orders = [await shop.order() for _ in range(10)]
    victims = ["gateway", "order-record", "order-pdf", "notify", "housekeeping"]
    for position, order in enumerate(orders):
        await shop.pay(order)
        if position % 2:
            await shop.kill(victims[position // 2])
    await shop.until_done(*orders, within_s=90)
    for order in orders:
        assert (await shop.get(order.path))["status"] == "PAID"
        assert len((await shop.get(f"{order.path}/payments"))["items"]) == 1
        assert len(await shop.pdf_versions(order)) == 2
        # A kill may fall into the one window in which a mail is sent twice (C-38); none is ever missing.
        assert set((await shop.mails_of(order)).values()) <= {1, 2}
    assert await _numbers(shop) == list(range(1, len(await _numbers(shop)) + 1))


async def _numbers(shop: Shop) -> list[int]:
    """The serial numbers of all invoices in the bucket."""
    async with shop.aws.client("s3") as s3:
        answer = await s3.list_objects_v2(Bucket="bbws-documents-local")
    names = [entry["Key"].rsplit("/", 1)[-1] for entry in answer["Contents"]]
    return sorted(int(name[4:-4]) for name in names if not name.endswith("-internal.pdf"))


async def _publish_again(shop: Shop, order: Placed) -> set[str]:
    """Puts the order's events on the bus once more, as housekeeping does after a crash; returns their types."""
    published = set()
    async with shop.aws.client("dynamodb") as dynamodb, shop.aws.client("events") as events:
        rows = await dynamodb.scan(
            TableName="orders",
            FilterExpression="begins_with(PK, :outbox) AND contains(envelope, :order)",
            ExpressionAttributeValues={":outbox": {"S": "OUTBOX#"}, ":order": {"S": order.id}},
        )
        for row in rows["Items"]:
            kind = row["schema"]["S"].split(":")[3]
            entry = {"Source": PAYMENT_SOURCE, "DetailType": kind, "Detail": row["envelope"]["S"]}
            await events.put_events(Entries=[entry | {"EventBusName": "bbws-events-local"}])
            published.add(kind)
    return published
