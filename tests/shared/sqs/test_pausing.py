"""A subscriber pauses while a dependency is out, and goes on by itself. In test_behaviour.py also on AWS."""

import asyncio
from typing import Any

import pytest

from bbws.shared.sqs import Backoff, PauseSubscriber, ReturnMessage, SQSMessage, SQSQueue, SQSSubscriber
from bbws.shared.sqs.dead_letters import REASON
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.subscriber import settlement
from tests.shared.sqs.virtual_clock import freeze, now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, broker_on, is_empty, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually


class LongPolls(MemoryService):
    """A receive waits for a message as long as it may."""

    def __init__(self) -> None:
        super().__init__(now)
        self.receives = 0

    async def receive(self, queue_url: str, *, wait_s: int, **options: Any) -> list[dict[str, Any]]:
        self.receives += 1
        until = now() + wait_s
        while True:
            received = await super().receive(queue_url, wait_s=0, **options)
            if received or now() >= until:
                return received
            await asyncio.sleep(0.01)


@virtual_clock
async def test_an_outage_under_load_costs_each_message_one_receive_at_most() -> None:
    """SQS counts every receive against its own limit, so an outage must not burn them."""
    service = MemoryService(now)
    broker = BrokerOnMemory(service)
    up, probes, done, receives = False, 0, set[int](), dict[int, int]()

    async def probe() -> bool:
        nonlocal probes
        probes += 1
        return up

    queue = SQSQueue("orders", dead_letter="orders-dlq", max_receive_count=3)
    service.declare(queue)

    @broker.subscriber(queue, max_workers=4, wait_time=0, attempts=1)
    async def handle(number: int, message: SQSMessage) -> None:
        receives[number] = message.receive_count
        await asyncio.sleep(0)
        if not up:
            raise PauseSubscriber(reason="database is out", probe=probe, delay=1)
        done.add(number)

    [subscriber] = broker.subscribers
    assert isinstance(subscriber, SQSSubscriber)
    async with started(broker):
        await broker.publish_batch(*range(12), queue="orders")
        await eventually(lambda: subscriber.paused, what="the pause")
        await eventually(lambda: probes >= 1, what="a failed probe")
        assert subscriber.paused
        assert len(receives) <= 4
        up = True
        await eventually(lambda: len(done) == 12, what="everything is done after the outage")
        await eventually(lambda: not service.messages("orders"), what="the queue is empty")
        assert not service.messages("orders-dlq")
    assert max(receives.values()) <= 2


@virtual_clock
async def test_a_lying_probe_costs_one_message_at_a_time() -> None:
    """Where the ping works and the work does not, one message is tried, not all."""
    service, tried, well = MemoryService(now), list[int](), False
    broker = BrokerOnMemory(service)
    done = set[int]()

    async def probe() -> None: ...

    @broker.subscriber("half", max_workers=5, wait_time=0)
    async def handle(number: int) -> None:
        tried.append(number)
        if not well:
            raise PauseSubscriber(reason="still broken", probe=probe, delay=60)
        done.add(number)

    async with started(broker):
        await broker.publish(0, "half")
        await eventually(lambda: tried, what="the first trial")
        await broker.publish_batch(*range(1, 9), queue="half")
        await eventually(lambda: len(tried) == 2, what="the trial after the first probe")
        assert len(service._queue("half").receivable(now())) >= 7
        well = True
        await eventually(lambda: len(done) == 9, what="everything, long before the delays of 60 s end")


async def test_what_waits_for_a_dependency_is_called_back_when_it_is_well(aws: Aws) -> None:
    """The delay protects the message during an outage; it must not make the outage longer."""
    broker, done, up = broker_on(aws), set[int](), False

    async def probe() -> bool:
        return up

    @broker.subscriber("waiting", max_workers=4, wait_time=0)
    async def handle(number: int) -> None:
        nonlocal up
        if not up:
            await asyncio.sleep(0)
            raise PauseSubscriber(reason="database is out", probe=probe, delay=600)
        done.add(number)

    [subscriber] = broker.subscribers
    assert isinstance(subscriber, SQSSubscriber)
    async with started(broker):
        await broker.publish_batch(*range(6), queue="waiting")
        await eventually(lambda: subscriber.paused, what="the pause")
        up = True
        await eventually(lambda: len(done) == 6, what="all are done, ten minutes before their delays end")
        await eventually(lambda: is_empty(aws, "waiting"), what="the queue is empty")


@virtual_clock
async def test_a_poll_from_before_the_pause_does_not_flood_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receive that was under way brings many messages to a subscriber in trial; one is tried."""
    # None is called back for the trial, so that the trial comes with the others.
    monkeypatch.setattr(settlement, "_TRIAL_RECEIVES", 0)
    service, tried = LongPolls(), list[int]()
    broker = BrokerOnMemory(service)
    probed = asyncio.Event()

    async def probe() -> None:
        probed.set()

    @broker.subscriber("late", max_workers=5, wait_time=10)
    async def handle(number: int) -> None:
        tried.append(number)
        # Time for others to begin before this one pauses again.
        await asyncio.sleep(0.1)
        raise PauseSubscriber(reason="still broken", probe=probe, delay=600)

    async with started(broker):
        await broker.publish(0, "late")
        await asyncio.wait_for(probed.wait(), 5)
        assert service.receives == 2
        await broker.publish_batch(1, 2, 3, queue="late")
        await eventually(lambda: not service._queue("late").receivable(now()), what="all are received")
        await asyncio.sleep(1)
        assert len(tried) == 2
        assert service.receives == 2
        assert all(stored.visible_at > now() + 500 for stored in service._queue("late").messages)


@virtual_clock
async def test_a_returned_message_is_no_failed_attempt_and_pauses_nobody() -> None:
    """The time has not come for this one; others go on, and it keeps its attempts."""
    service, receives, others = MemoryService(now), list[int](), list[str]()
    broker = BrokerOnMemory(service)
    queue = SQSQueue("orders", dead_letter="orders-dlq", max_receive_count=10)
    service.declare(queue)

    @broker.subscriber(queue, attempts=1, wait_time=0)
    async def handle(body: str, message: SQSMessage) -> None:
        if body != "early":
            others.append(body)
            return
        receives.append(message.receive_count)
        if message.receive_count < 3:
            raise ReturnMessage(delay=0)

    async with started(broker):
        await broker.publish("early", "orders")
        await broker.publish("other", "orders")
        await eventually(lambda: receives == [1, 2, 3] and others, what="the third delivery")
        await eventually(lambda: not service.messages("orders"), what="the queue is empty")
    assert not service.messages("orders-dlq")


@virtual_clock
async def test_a_pause_is_no_failed_attempt() -> None:
    """After an outage a message has its attempts left, as far as this process knows."""
    service, receives, up = MemoryService(now), list[int](), False
    broker = BrokerOnMemory(service)

    async def probe() -> bool:
        return up

    queue = SQSQueue("orders", dead_letter="orders-dlq", max_receive_count=10)
    service.declare(queue)

    @broker.subscriber(queue, attempts=2, wait_time=0, retry=Backoff.immediate())
    async def handle(message: SQSMessage) -> None:
        nonlocal up
        receives.append(message.receive_count)
        if message.receive_count == 1:
            up = True
            raise PauseSubscriber(reason="out", probe=probe, delay=0)
        raise ValueError("no")

    async with started(broker):
        await broker.publish("x", "orders")
        [letter] = await eventually(lambda: service.messages("orders-dlq"), what="the dead letter")
    assert receives == [1, 2, 3]
    assert letter["MessageAttributes"][REASON]["StringValue"] == "failed 2 times"


@virtual_clock
async def test_what_is_to_be_tried_and_waits_too_long_makes_room_for_another() -> None:
    """Given back behind a handler that hangs, it must not leave the subscriber in trial for ever."""
    service, done, go_on, is_down = MemoryService(now), list[int](), asyncio.Event(), False
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    async def well() -> None: ...

    @broker.subscriber("q", max_workers=2, wait_time=0)
    async def handle(number: int) -> None:
        nonlocal is_down
        if number in {50, 51}:
            if number == 51 and not is_down:
                is_down = True
                raise PauseSubscriber(reason="out", probe=well, delay=0)
            await go_on.wait()
        done.append(number)

    [subscriber] = broker.subscribers
    assert isinstance(subscriber, SQSSubscriber)
    await broker.connect()
    await broker.publish_batch(*range(52), queue="q")
    async with started(broker):
        await eventually(lambda: is_down, what="one hangs, one pauses")
        [raw] = subscriber._work.received([{"MessageId": "m", "ReceiptHandle": "h", "Body": "1"}])
        await eventually(lambda: not subscriber.paused, what="the trial")
        subscriber._work.pausing._tried = raw
        await subscriber._work.give_back([raw])
        await broker.publish(60, "q")
        go_on.set()
        await eventually(lambda: 60 in done, what="others are tried")


@virtual_clock
async def test_what_is_to_be_tried_and_was_lost_meanwhile_is_no_successful_trial() -> None:
    """It waited here, and its lease ended while the process stood still: another is tried, and not all at once."""
    service, running, most, tried = MemoryService(now), 0, 0, 0
    lanes = SQSQueue("lanes", fifo=True, visibility_timeout=3)
    service.declare(lanes)
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    async def lies() -> None: ...

    @broker.subscriber(lanes, max_workers=10, wait_time=0)
    async def handle(number: int) -> None:
        nonlocal running, most, tried
        running, tried = running + 1, tried + 1
        most = max(most, running)
        await asyncio.sleep(0.1)
        running -= 1
        raise PauseSubscriber(reason="out", probe=lies, delay=0)

    [subscriber] = broker.subscribers
    assert isinstance(subscriber, SQSSubscriber)
    async with started(broker):
        await broker.publish(0, lanes, group_id="g0", deduplication_id="0")
        await eventually(lambda: subscriber.paused, what="the pause")
        for number in range(1, 6):
            await broker.publish(number, lanes, group_id=f"g{number}", deduplication_id=str(number))
        freeze(6)
        await asyncio.sleep(60)
    assert tried > 3
    assert most == 1
