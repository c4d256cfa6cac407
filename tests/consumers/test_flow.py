"""The consumers as applications on the emulator: the whole flow, repeats, poison, outages, draining."""

import asyncio
import gc
from functools import partial
from typing import Any

import pytest

from bbws.consumers import CONSUMERS, middlewares
from bbws.consumers.app import application, build
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.sales.order_events import InvoiceIssued
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.core.due import SHARDS
from bbws.shared.dynamo.keys import ORDERS, TENANTS
from bbws.shared.sales.services.payments import Payments
from bbws.shared.sqs import PauseSubscriber
from tests.support.builders import registration_requested
from tests.support.consuming import letters, publish, running, send
from tests.support.market import Market, paid
from tests.support.waiting import eventually

ALL_MAILS = [
    "order_confirmation_customer",
    "order_confirmation_internal",
    "payment_confirmation_customer",
    "payment_confirmation_internal",
]
REASON = "dead-letter-reason"


async def _unfinished(market: Market) -> dict[str, int]:
    """What waits in queues and dead letters."""
    names = [n for queue in market.services.topology.queues for n in (queue.name, queue.dead_letter_name)]
    depths = {name: await market.services.queues.backlog(name) for name in names}
    return {name: depth for name, depth in depths.items() if depth}


async def _until_quiet(market: Market, within_s: float = 60) -> None:
    async def quiet() -> bool:
        return not await _unfinished(market)

    await eventually(quiet, within_s=within_s, what="every queue is empty, and so are the dead letters")


async def _payments(market: Market, order: Order) -> int:
    page = await market.services.payments.list_of_order(order.tenant_id, order.id, PageRequest())
    return len(page.items)


async def _assert_done_once(market: Market, order: Order) -> None:
    now = await market.services.orders.get(order.tenant_id, order.id)
    assert (now.status, now.version) == ("PAID", 2)
    assert await _payments(market, order) == 1
    number = (await market.services.invoices.get(order.tenant_id, order.id)).number
    folder = f"tenants/{order.tenant_id}/orders/{order.id}"
    assert await market.pdf_versions(order) == [f"{folder}/{number}-internal.pdf", f"{folder}/{number}.pdf"]
    assert await market.mail_kinds(order) == ALL_MAILS


async def test_everything_happens_once_when_everything_comes_twice(market: Market) -> None:
    """One ORDER_CREATED, delivered twice to every queue, and INVOICE_ISSUED again: PAID once, one payment, one PDF
    of each kind, four mails, and nothing in the dead letters."""
    order = await market.order()
    event = paid(order)
    # Who meets another sender asks again after the lease: 25 s in production.
    settings = market.services.settings.model_copy(update={"mail_lease_s": 3})
    async with running(settings, *CONSUMERS):
        for _ in range(2):
            await publish(market, event)
        await eventually(lambda: _has_mails(market, order, 4), within_s=60, what="all mails are there")
        await publish(market, await _invoice_issued(market, order))
        await _until_quiet(market)
    await _assert_done_once(market, order)
    kinds = [entry.kind for entry in await market.services.orders.timeline(order.tenant_id, order.id)]
    assert sorted(kinds) == sorted(
        ["ORDER_PLACED", "ORDER_PAID", "INVOICE_NUMBERED", "INVOICE_ISSUED", *["MAIL_SENT"] * 4]
    )


async def _has_mails(market: Market, order: Order, count: int) -> bool:
    return len(await market.mail_kinds(order)) >= count


async def _invoice_issued(market: Market, order: Order) -> InvoiceIssued:
    """The event as it went out, from its row in the outbox."""
    rows = [row for n in range(SHARDS) for row in await market.items("orders", f"OUTBOX#{n}")]
    events = [InvoiceIssued.model_validate_json(r["envelope"]) for r in rows if "INVOICE_ISSUED" in r["schema"]]
    return next(event for event in events if event.data.order.id == order.id)


async def test_poison_stops_nobody(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not parse and what names no order of ours is buried at once with its reason; a bug after three
    attempts; the good message among them is done."""
    good, bad = await market.order(), await market.order()
    unknown = paid(good.model_copy(update={"id": (nobody := "01a20000-0000-7000-8000-000000000000")}))
    record, attempts = Payments.record, []

    async def stumble(self: Payments, event: Any) -> None:
        if event.data.order.id == bad.id:
            attempts.append(event.id)
            raise RuntimeError("division by cucumber")
        await record(self, event)

    monkeypatch.setattr(Payments, "record", stumble)
    bodies = ["{ no json", unknown.to_json().decode(), paid(bad).to_json().decode(), paid(good).to_json().decode()]
    async with running(market.services.settings, "order-record"):
        for body in bodies:
            await send(market, "order-record", body)
        await eventually(lambda: _buried(market, 3), within_s=30, what="three dead letters")
    buried = {letter["body"]: letter for letter in await letters(market, "order-record")}
    assert buried.keys() == set(bodies[:3])
    assert buried[bodies[0]][REASON].startswith("does not parse: ")
    assert buried[bodies[1]][REASON] == f"Not found: there is no order {nobody}"
    assert buried[bodies[2]][REASON] == "failed 3 times"
    assert buried[bodies[2]]["dead-letter-exception"] == "RuntimeError: division by cucumber"
    assert [buried[body]["dead-letter-receive-count"] for body in bodies[:3]] == ["1", "1", "3"]
    assert len(attempts) == 3
    assert (await market.services.orders.get(good.tenant_id, good.id)).status == "PAID"


async def _buried(market: Market, count: int) -> bool:
    return await market.services.queues.backlog("order-record-dlq") == count


async def test_outage_empties_no_queue_into_the_dead_letters(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """DynamoDB and SES are out for some seconds under 20 messages of each queue: the subscribers pause instead of
    burning attempts, nothing is buried, and everything is done once after they are back (C-37)."""
    # What is returned comes back after 30 s in production; here after 1 s.
    monkeypatch.setattr(middlewares, "PauseSubscriber", partial(PauseSubscriber, delay=1))
    orders = [await market.order() for _ in range(20)]
    await market.aws.inject("dynamodb")
    await market.aws.inject("sesv2")
    async with running(market.services.settings, "order-record", "notify") as consumers:
        await asyncio.gather(*(publish(market, paid(order)) for order in orders))
        subscribers = [subscriber for consumer in consumers for subscriber in consumer.broker.subscribers]
        assert len(subscribers) == 3
        await eventually(
            lambda: all(getattr(subscriber, "paused", False) for subscriber in subscribers),
            within_s=30,
            what="every subscriber is paused",
        )
        assert await market.services.queues.backlog("order-record") == 20
        await market.aws.heal()
        await _until_quiet_queues(market, "order-record", "customer-notify", "internal-notify")
    for order in orders:
        assert (await market.services.orders.get(order.tenant_id, order.id)).version == 2
    mails = await market.aws.mails()
    assert sorted((str(m["X-BBWS-Order"]), str(m["X-BBWS-Mail"])) for m in mails) == sorted(
        (order.id, f"order_confirmation_{audience}") for order in orders for audience in ("customer", "internal")
    )


async def _until_quiet_queues(market: Market, *names: str) -> None:
    async def quiet() -> bool:
        unfinished = await _unfinished(market)
        assert not [name for name in unfinished if name.endswith("-dlq")]
        return not unfinished.keys() & set(names)

    await eventually(quiet, within_s=60, what=f"{names} are empty")


async def test_bucket_outage_delays_invoices_only(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 is out: `order-pdf` pauses, `order-record` goes on; afterwards each order has one invoice without a gap."""
    monkeypatch.setattr(middlewares, "PauseSubscriber", partial(PauseSubscriber, delay=1))
    orders = [await market.order() for _ in range(3)]
    await market.aws.inject("s3")
    async with running(market.services.settings, "order-record", "order-pdf") as (_, pdf):
        for order in orders:
            await publish(market, paid(order))
        await eventually(
            lambda: all(getattr(subscriber, "paused", False) for subscriber in pdf.broker.subscribers),
            within_s=30,
            what="order-pdf is paused",
        )
        await _until_quiet_queues(market, "order-record")
        await market.aws.heal()
        await _until_quiet_queues(market, "order-pdf")
    numbers = [(await market.services.invoices.get(order.tenant_id, order.id)).number for order in orders]
    assert sorted(numbers) == ["INV-000001", "INV-000002", "INV-000003"]


@pytest.mark.parametrize("faulty", [False, True], ids=["all well", "SQS stumbles"])
async def test_drain_does_what_waits_and_ends(market: Market, faulty: bool) -> None:
    """`--drain` is for jobs: it ends by itself, after the last message, and an outage of a moment ends nothing early
    and leaves nothing hanging."""
    orders = [await market.order() for _ in range(5)]
    for order in orders:
        await publish(market, paid(order))
    if faulty:
        await market.aws.inject("sqs", operation="GetQueueAttributes", times=6)
    consumer = build(CONSUMERS["order-record"].register, market.services.settings)
    async with asyncio.timeout(40):
        await application(consumer, drain=True).run()
    assert await market.services.queues.backlog("order-record") == 0
    assert [await _payments(market, order) for order in orders] == [1] * 5


async def test_drain_that_fails_says_so(market: Market) -> None:
    """A bug in a loop ends the job with that bug: neither a job that hangs nor one that claims success."""

    async def stumble(_: Services) -> int:
        raise RuntimeError("division by cucumber")

    consumer = build(lambda built: built.loop("broken", stumble, 1), market.services.settings)
    async with asyncio.timeout(20):
        with pytest.raises(RuntimeError, match="cucumber"):
            await application(consumer, drain=True).run()


async def test_housekeeping_drains_the_outboxes(market: Market) -> None:
    """Events that a crash left behind, of sales and of tenancy, are out when `housekeeping --drain` ends, each once."""
    settings = market.services.settings.model_copy(update={"outbox_grace_s": 0.001})
    orders = [await market.order() for _ in range(3)]
    await market.aws.inject("events")
    async with bootstrap(settings) as dying:
        for order in orders:
            await dying.outbox.commit([], [paid(order)])
        await dying.tenant_outbox.commit([], [registration_requested()])
    await market.aws.heal()
    assert [await _waiting_events(market, table) for table in (ORDERS, TENANTS)] == [len(orders), 1]
    consumer = build(CONSUMERS["housekeeping"].register, settings)
    async with asyncio.timeout(40):
        await application(consumer, drain=True).run()
    assert [await _waiting_events(market, table) for table in (ORDERS, TENANTS)] == [0, 0]
    published = await market.published("order-record")
    assert sorted(event.data.order.id for event in published) == sorted(order.id for order in orders)


async def _waiting_events(market: Market, table: str) -> int:
    """How many events of an outbox are still to be published."""
    rows = [row for shard in range(SHARDS) for row in await market.items(table, f"OUTBOX#{shard}")]
    return sum("dueKey" in row for row in rows)


@pytest.fixture(autouse=True)
def _collect() -> Any:
    """Whatever a stopped application left open must show in the test that started it."""
    yield
    gc.collect()
