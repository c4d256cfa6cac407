"""A message of a FIFO queue that fails stays here: it is tried again in its place, and costs nobody a receive."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from faststream import AckPolicy
from faststream.exceptions import NackMessage

from bbws.shared.sqs import Backoff, PauseSubscriber, ReturnMessage, SQSMessage, SQSQueue
from bbws.shared.sqs.dead_letters import REASON
from bbws.shared.sqs.memory import MemoryService
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, broker_on, is_empty, messages_in, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate()}


def lane(limit: int | None = None, **options: Any) -> SQSQueue:
    return SQSQueue("lane", fifo=True, dead_letter="lane-dlq" if limit else None, max_receive_count=limit, **options)


async def filled(service: MemoryService, queue: SQSQueue, bodies: Iterable[Any], group: str = "a") -> BrokerOnMemory:
    service.declare(queue)
    broker = BrokerOnMemory(service, graceful_timeout=0.1)
    await broker.connect()
    for body in bodies:
        await broker.publish(body, queue, group_id=group, deduplication_id=str(body))
    return broker


def receives(service: MemoryService) -> list[int]:
    return [stored.receive_count for stored in service._queue("lane.fifo").messages]


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_good_messages_behind_bad_ones_are_handled(aws: Aws, limit: int) -> None:
    """Each failure in front cost those behind a receive, until SQS buried them untried (B2)."""
    queue, tried = lane(limit), list[int]()
    async with started(broker_on(aws)) as sender:
        sender.publisher(queue)
        await sender.start()
        for number in range(7):
            await sender.publish(number, queue, group_id="a", deduplication_id=str(number))
    broker = broker_on(aws)

    @broker.subscriber(queue, max_workers=10, **FAST)
    async def handle(number: int) -> None:
        tried.append(number)
        if number < 2:
            raise ValueError(f"{number} never works")

    async with started(broker):
        await eventually(lambda: is_empty(aws, "lane.fifo"), what="the queue is empty")
        letters = await messages_in(aws, "lane-dlq.fifo")
    assert tried == [*[0] * limit, *[1] * limit, 2, 3, 4, 5, 6]
    assert sorted((letter.body, letter.headers[REASON]) for letter in letters) == [
        (b"0", f"failed {limit} times"), (b"1", f"failed {limit} times"),
    ]  # fmt: skip


@virtual_clock
async def test_it_is_held_for_as_long_as_its_back_off_takes() -> None:
    """Nobody else gets it or those behind it; other groups go on."""
    service, seen = MemoryService(now), list[tuple[int, float]]()
    broker = await filled(service, lane(visibility_timeout=10), [0, 1])
    await broker.publish(2, lane(), group_id="b", deduplication_id="2")
    began = now()

    @broker.subscriber(lane(), wait_time=0, retry=Backoff.exponential(base=300, jitter=False))
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, round(now() - began, -1)))
        if number == 0 and message.receive_count < 3:
            raise ValueError("not yet")

    async with started(broker):
        await asyncio.sleep(1)
        assert receives(service) == [1, 1]
        await eventually(lambda: not service.messages("lane.fifo"), within_s=1000, what="all are done")
    assert seen == [(0, 0), (2, 0), (0, 300), (0, 900), (1, 900)]


@virtual_clock
async def test_at_a_stop_all_go_back_at_once() -> None:
    """In order, each with the one receive that it cost; how often it failed here is known here alone."""
    service, seen = MemoryService(now), list[tuple[int, int]]()
    for _ in range(2):
        broker = await filled(service, lane(3, visibility_timeout=600), range(3))

        @broker.subscriber(lane(3), wait_time=0, attempts=2, retry=Backoff.exponential(base=50, jitter=False))
        async def handle(number: int, message: SQSMessage) -> None:
            seen.append((number, message.receive_count))
            if number == 0:
                raise ValueError("never")

        async with started(broker):
            await eventually(lambda: seen, what="the first has failed")
            await asyncio.sleep(1)
            await broker.stop()
            assert all(stored.visible_at <= now() for stored in service._queue("lane.fifo").messages)
    async with started(broker):
        await eventually(lambda: not service.messages("lane.fifo"), within_s=100, what="all are done")
    assert [number for number, _ in seen] == [0, 0, 0, 0, 1, 2]
    [letter] = service.messages("lane-dlq.fifo")
    assert letter["MessageAttributes"][REASON]["StringValue"] == "failed 2 times"


@virtual_clock
async def test_what_a_stop_ends_at_its_last_delivery_is_buried_with_a_reason() -> None:
    """Given back once more, SQS would bury it and say nothing."""
    service = MemoryService(now)
    broker = await filled(service, lane(1, visibility_timeout=600), [0, 1])

    @broker.subscriber(lane(1), wait_time=0, attempts=3, retry=Backoff.exponential(base=50, jitter=False))
    async def handle(number: int) -> None:
        raise ValueError("never")

    async with started(broker):
        await asyncio.sleep(1)
    assert not service.messages("lane.fifo")
    said = [letter["MessageAttributes"][REASON]["StringValue"] for letter in service.messages("lane-dlq.fifo")]
    assert said == [
        "failed 1 times; received 1 times, as often as the queue's policy allows",
        "never failed; received 1 times, as often as the queue's policy allows",
    ]


@virtual_clock
async def test_an_outage_is_waited_out_in_place() -> None:
    """A pause gives nothing back: order and receives are kept, and what waits is tried first when it is over."""
    service, up, tried = MemoryService(now), False, Counter[int]()
    broker = await filled(service, lane(2, visibility_timeout=10), range(5))
    done: list[int] = []

    async def probe() -> bool:
        return up

    @broker.subscriber(lane(2), attempts=1, max_workers=3, **FAST)
    async def handle(number: int) -> None:
        tried[number] += 1
        if not up:
            raise PauseSubscriber(reason="out", probe=probe, delay=600)
        done.append(number)

    async with started(broker):
        await asyncio.sleep(500)
        assert receives(service) == [1] * 5
        assert tried == {0: 1}
        up = True
        await eventually(lambda: done == [0, 1, 2, 3, 4], within_s=30, what="all are done")
    assert not service.messages("lane-dlq.fifo")


@virtual_clock
async def test_after_a_pause_one_is_tried_before_the_others() -> None:
    """Where the probe lies, each trial is one message of one group, not one of each."""
    service, tried, well = MemoryService(now), list[int](), False
    broker = await filled(service, lane(), [])
    for number in range(6):
        await broker.publish(number, lane(), group_id=str(number), deduplication_id=str(number))

    async def lies() -> None: ...

    @broker.subscriber(lane(), max_workers=6, **FAST)
    async def handle(number: int) -> None:
        tried.append(number)
        await asyncio.sleep(0.1)
        if not well:
            raise PauseSubscriber(reason="out", probe=lies, delay=1)

    async with started(broker):
        await eventually(lambda: len(tried) == 6, what="all meet the outage")
        await asyncio.sleep(60)
        # Six at first, then one after 1, 2, 4, 8, 10, 10 … seconds, or after half of that.
        assert 6 + 7 <= len(tried) <= 6 + 15
        well = True
        await eventually(lambda: not service.messages("lane.fifo"), within_s=30, what="all are done")


@virtual_clock
async def test_nack_and_not_yet_mean_in_place_too() -> None:
    """Their delay blocks the group as it did in the queue; the one counts as a failure, the other does not."""
    service, seen = MemoryService(now), list[tuple[str, float]]()
    broker = await filled(service, lane(2), ["nack", "later", "last"])
    began = now()

    @broker.subscriber(lane(2), attempts=2, **FAST)
    async def handle(body: str, message: SQSMessage) -> None:
        seen.append((body, round(now() - began, -1)))
        if body == "nack":
            raise NackMessage(delay=100)
        if body == "later" and message.receive_count < 4:
            raise ReturnMessage(delay=50)

    async with started(broker):
        await eventually(lambda: not service.messages("lane.fifo"), within_s=1000, what="all are done")
    assert seen == [("nack", 0), ("nack", 100), ("later", 100), ("later", 150), ("later", 200), ("later", 250),
                    ("last", 250)]  # fmt: skip
    assert len(service.messages("lane-dlq.fifo")) == 1


@virtual_clock
async def test_a_manual_handler_says_itself_when_it_is_tried_again() -> None:
    """`nack` keeps it in front of its group, also where the handler goes on for a while after it."""
    service, seen = MemoryService(now), list[int]()
    broker = await filled(service, lane(), [0, 1])

    @broker.subscriber(lane(), ack_policy=AckPolicy.MANUAL, **FAST)
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append(number)
        if len(seen) == 1:
            await message.nack(delay=10)
            await asyncio.sleep(20)
            return
        await message.ack()

    async with started(broker):
        await eventually(lambda: not service.messages("lane.fifo"), within_s=60, what="all are done")
    assert seen == [0, 0, 1]


@virtual_clock
async def test_what_failed_in_a_batch_is_tried_alone_and_in_order() -> None:
    """One bad message must not bury its company, and those behind must not overtake."""
    service, calls = MemoryService(now), list[list[int]]()
    broker = await filled(service, lane(2), range(4))

    @broker.subscriber(lane(2), batch=True, **FAST)
    async def handle(numbers: list[int]) -> None:
        calls.append(numbers)
        if 1 in numbers:
            raise ValueError("never one")

    async with started(broker):
        await eventually(lambda: not service.messages("lane.fifo"), what="all are done")
    assert calls == [[0, 1, 2, 3], [0], [1], [2], [3]]
    [letter] = service.messages("lane-dlq.fifo")
    assert letter["Body"] == "1"


@virtual_clock
async def test_not_more_than_so_many_are_held() -> None:
    """Every group fails: what is kept here for their next attempts has an end, the queue may have the rest."""
    service, seen = MemoryService(now), set[int]()
    broker = await filled(service, lane(), [])
    for number in range(300):
        await broker.publish(number, lane(), group_id=str(number), deduplication_id=str(number))

    @broker.subscriber(lane(), max_workers=4, wait_time=0, retry=Backoff.exponential(base=600, jitter=False))
    async def handle(number: int) -> None:
        seen.add(number)
        raise ValueError("no")

    async with started(broker):
        await asyncio.sleep(120)
        assert 100 <= len(seen) <= 120


@virtual_clock
async def test_without_a_heartbeat_it_goes_back_to_the_queue() -> None:
    """Nobody would keep it from others until its next attempt."""
    service, seen = MemoryService(now), list[tuple[int, int]]()
    broker = await filled(service, lane(3), [0, 1])

    @broker.subscriber(lane(3), heartbeat=False, wait_time=0, retry=Backoff.exponential(base=40, jitter=False))
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, message.receive_count))
        if number == 0:
            raise ValueError("never")

    async with started(broker):
        await eventually(lambda: not service.messages("lane.fifo"), within_s=1000, what="all are done")
    assert [number for number, _ in seen] == [0, 0, 0, 1]
    [letter] = service.messages("lane-dlq.fifo")
    assert letter["MessageAttributes"][REASON]["StringValue"] == "failed 3 times"
