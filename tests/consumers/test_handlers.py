"""Each consumer's handlers on the broker in memory: what they do with good, bad and impossible messages."""

from typing import Any

import pytest

from bbws.consumers import CONSUMERS
from bbws.consumers.app import Consumer, build
from bbws.shared.bootstrap import Services
from bbws.shared.contracts.audit import PLATFORM
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.sales.products import Product
from bbws.shared.ids import new_id
from bbws.shared.logging import bound_value
from bbws.shared.sales.services.notifications import Notifications
from bbws.shared.sales.services.payments import Payments
from bbws.shared.sqs import SQSBroker, SQSMessage, SQSQueue, TestSQSBroker
from tests.support.builders import registration_requested
from tests.support.links import mails_to, token_in
from tests.support.market import Market, invoiced, paid

REASON = "dead-letter-reason"


def _built(market: Market, name: str) -> tuple[Consumer, TestSQSBroker[Any]]:
    """A consumer whose services are those of the market, and the broker in memory with its queues."""
    consumer = build(CONSUMERS[name].register, market.services.settings)
    consumer.running = market.services
    queues = [
        SQSQueue(queue.name, dead_letter=queue.dead_letter_name, max_receive_count=queue.max_receive_count)
        for queue in consumer.queues
    ]
    return consumer, TestSQSBroker(consumer.broker, queues=queues)


async def _deliver(running: SQSBroker, queue: str, message: Envelope | bytes) -> None:
    body = message.to_json() if isinstance(message, Envelope) else message
    await running.publish(body, queue)


async def _only(test_broker: TestSQSBroker[Any], queue: str) -> SQSMessage:
    (message,) = await test_broker.messages(queue)
    return message


@pytest.mark.parametrize("body", [b"not json {", b'{"id": 1}', b"[]", "Ã(".encode()])
async def test_unparseable_message_is_buried_with_reason_and_body(shared_market: Market, body: bytes) -> None:
    """Nothing is lost, nothing is tried three times, and the good message behind it is done."""
    order = await shared_market.order()
    _, test_broker = _built(shared_market, "order-record")
    async with test_broker as running:
        await _deliver(running, "order-record", body)
        await _deliver(running, "order-record", paid(order))
        letter = await _only(test_broker, "order-record-dlq")
        assert letter.headers[REASON].startswith("does not parse: ")
        assert letter.body == body
        assert await test_broker.messages("order-record") == []
    assert (await shared_market.services.orders.get(order.tenant_id, order.id)).status == "PAID"


async def test_what_a_handler_changes_is_audited_as_its_consumers_doing(shared_market: Market) -> None:
    """The trail tells which process did it, in the flow that the order's payment began."""
    order = await shared_market.order()
    _, test_broker = _built(shared_market, "order-record")
    async with test_broker as running:
        await _deliver(running, "order-record", paid(order))
    newest, *_ = (await shared_market.services.audit_trails.list(order.tenant_id, PageRequest())).items
    assert newest.details is not None
    assert (newest.action, newest.details.source, newest.correlation_id) == ("ORDER_PAID", "order-record", order.id)


async def test_the_trail_names_the_consumer_and_not_one_of_its_queues(
    shared_market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`notify` reads two; whoever looks for what it did looks for its name."""
    made: list[Product] = []

    async def sell(*_: object) -> None:
        made.append(await shared_market.product())

    monkeypatch.setattr(Notifications, "confirm_order", sell)
    event = paid(await shared_market.order())
    _, test_broker = _built(shared_market, "notify")
    async with test_broker as running:
        await _deliver(running, "customer-notify", event)
    assert await _sources(shared_market, made[0]) == ["notify"]


async def test_log_lines_of_a_message_carry_the_ids_of_its_flow(
    shared_market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator searches by order, tenant or message across all processes."""
    seen: dict[str, str | None] = {}

    async def note(_: Payments, event: Envelope) -> None:
        names = ("order_id", "tenant_id", "correlation_id", "event_id", "event_type", "queue", "message_id")
        seen.update({name: bound_value(name) for name in names})

    monkeypatch.setattr(Payments, "record", note)
    event = paid(order := await shared_market.order())
    _, test_broker = _built(shared_market, "order-record")
    async with test_broker as running:
        await _deliver(running, "order-record", event)
    assert seen.pop("message_id")
    assert seen == {
        "order_id": order.id,
        "tenant_id": order.tenant_id,
        "correlation_id": event.correlationid,
        "event_id": event.id,
        "event_type": "ORDER_CREATED",
        "queue": "order-record",
    }


async def test_what_a_loop_changes_is_audited_as_its_doing(shared_market: Market) -> None:
    """Nobody sent a message: the loop is where it came from."""
    made: list[Product] = []

    async def work(_: Services) -> int:
        made.append(await shared_market.product())
        return 1

    consumer = build(lambda built: built.loop("sweeper", work, 1), shared_market.services.settings)
    assert await consumer.loops[0].run(shared_market.services) == 1
    assert await _sources(shared_market, made[0]) == ["sweeper"]


async def _sources(market: Market, product: Product) -> list[str]:
    """Who made or changed a product, as the trail of the platform tells."""
    listed = await market.services.audit_trails.list(PLATFORM, PageRequest(100))
    entries = [entry for entry in listed.items if entry.subject == f"products/{product.id}"]
    return [entry.details.source for entry in entries if entry.details]


async def test_housekeeping_seals_what_was_changed(market: Market) -> None:
    """A sealer that nobody starts is an audit trail that proves nothing."""
    order = await market.order()
    consumer = build(CONSUMERS["housekeeping"].register, market.services.settings)
    for loop in consumer.loops:
        await loop.run(market.services)
    report = await market.services.audit_trails.verify(order.tenant_id)
    assert (report.sealed_up_to, report.entries, report.waiting, report.findings) == (2, 2, 0, [])


async def test_event_of_an_unknown_order_is_buried_at_once(shared_market: Market) -> None:
    """`order-record` never creates an order (C-10): the reason names it, after a single attempt."""
    event = paid((await shared_market.order()).model_copy(update={"id": (unknown := new_id())}))
    _, test_broker = _built(shared_market, "order-record")
    async with test_broker as running:
        await _deliver(running, "order-record", event)
        letter = await _only(test_broker, "order-record-dlq")
    assert letter.headers[REASON] == f"Not found: there is no order {unknown}"
    assert letter.headers["dead-letter-receive-count"] == "1"


async def test_bug_is_tried_three_times(shared_market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug may be a passing one: three attempts (C-36), then the dead letters with what was raised."""
    attempts = []

    async def fail(_: Payments, event: Envelope) -> None:
        attempts.append(event.id)
        raise RuntimeError("division by cucumber")

    monkeypatch.setattr(Payments, "record", fail)
    event = paid(await shared_market.order())
    _, test_broker = _built(shared_market, "order-record")
    async with test_broker as running:
        with pytest.raises(RuntimeError):
            await _deliver(running, "order-record", event)
        for _ in range(2):
            assert await test_broker.messages("order-record-dlq") == []
            with pytest.raises(RuntimeError):
                await test_broker.redeliver("order-record")
        letter = await _only(test_broker, "order-record-dlq")
        assert await test_broker.messages("order-record") == []
    assert attempts == [event.id] * 3
    assert letter.headers[REASON] == "failed 3 times"
    assert letter.headers["dead-letter-exception"] == "RuntimeError: division by cucumber"
    assert letter.body == event.to_json()


async def test_order_record_pays_once(shared_market: Market) -> None:
    """The same event three times: one payment."""
    order = await shared_market.order()
    event = paid(order)
    _, test_broker = _built(shared_market, "order-record")
    async with test_broker as running:
        for _ in range(3):
            await _deliver(running, "order-record", event)
    payments = await shared_market.services.payments.list_of_order(order.tenant_id, order.id, PageRequest())
    assert [payment.id for payment in payments.items] == [event.data.payment.id]


async def test_notify_mails_each_audience_from_its_queue(shared_market: Market) -> None:
    """Two queues, two audiences: neither waits for the other, and neither sends the other's mail."""
    order = await shared_market.order()
    _, test_broker = _built(shared_market, "notify")
    async with test_broker as running:
        for _ in range(2):
            await _deliver(running, "internal-notify", paid(order))
        assert await shared_market.mail_kinds(order) == ["order_confirmation_internal"]
        await _deliver(running, "customer-notify", paid(order))
    assert await shared_market.mail_kinds(order) == ["order_confirmation_customer", "order_confirmation_internal"]


async def test_notify_tells_its_events_apart(shared_market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """One queue carries both types; a type that nobody knows is buried, not mailed."""
    told: list[str] = []

    async def note(_: Notifications, event: Envelope, audience: str) -> None:
        told.append(f"{event.type} to {audience}")

    async def note_payment(_: Notifications, event: Envelope, audience: str) -> None:
        told.append(f"payment by {event.type} to {audience}")

    monkeypatch.setattr(Notifications, "confirm_order", note)
    monkeypatch.setattr(Notifications, "confirm_payment", note_payment)
    event = paid(await shared_market.order())
    strange = event.to_json().replace(b'"ORDER_CREATED"', b'"ORDER_EATEN"')
    _, test_broker = _built(shared_market, "notify")
    async with test_broker as running:
        await _deliver(running, "customer-notify", event)
        await _deliver(running, "customer-notify", strange)
        assert len(await test_broker.messages("customer-notify-dlq")) == 1
        for queue in ("customer-notify", "internal-notify"):
            await _deliver(running, queue, invoiced(event))
    assert told == [
        "ORDER_CREATED to customer",
        "payment by INVOICE_ISSUED to customer",
        "payment by INVOICE_ISSUED to internal",
    ]


async def test_notify_mails_a_link_once_from_the_customers_queue_alone(shared_market: Market) -> None:
    """The wish comes straight from the bus, with no order in it; delivered twice it is one mail, for one queue."""
    tenant = await shared_market.tenant()
    event = registration_requested(tenant)
    _, test_broker = _built(shared_market, "notify")
    async with test_broker as running:
        for _ in range(2):
            await _deliver(running, "customer-notify", event)
        await _deliver(running, "internal-notify", event)
        letter = await _only(test_broker, "internal-notify-dlq")
        assert await test_broker.messages("customer-notify-dlq") == []
    (mail,) = await mails_to(shared_market.aws, tenant.email)
    assert mail["X-BBWS-Mail"] == "registration_customer"
    assert token_in(mail).encode() not in letter.body + event.to_json()
