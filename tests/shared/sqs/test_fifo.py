"""FIFO queues: order within a group, groups side by side, few requests."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from faststream import AckPolicy
from faststream.exceptions import RejectMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bbws.shared.sqs import Backoff, SQSMessage, SQSQueue
from bbws.shared.sqs.memory import MemoryService
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, broker_on, is_empty, messages_in, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

Message = tuple[str, int]
"""Group, and how often its handler fails."""

ATTEMPTS = 3
MESSAGES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 0, 0, 1, 2, 9])), max_size=25)


class Record:
    """What a handler did, checked while it does it."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.done: dict[str, list[int]] = defaultdict(list)
        self.tries: Counter[int] = Counter()
        self.busy: set[str] = set()
        self.faults: list[str] = []

    def expected(self, group: str) -> list[int]:
        """Messages of a group in order."""
        return [number for number, (of, _) in enumerate(self.messages) if of == group]

    async def handle(self, numbers: Sequence[int]) -> None:
        """Fails, before anything is done, as often as one of the messages says."""
        group = self.messages[numbers[0]][0]
        if group in self.busy:
            self.faults.append(f"{numbers} beside another of its group")
        if (due := self.expected(group)[len(self.done[group]) :][: len(numbers)]) != list(numbers):
            self.faults.append(f"{numbers} before {due}")
        self.busy.add(group)
        await asyncio.sleep(0)
        self.busy.discard(group)
        fails = any(self.tries[number] < self.messages[number][1] for number in numbers)
        self.tries.update(numbers)
        self.done[group] += [number for number in numbers if not fails or self.tries[number] == ATTEMPTS]
        if fails:
            raise RuntimeError(f"{numbers} fail")


@given(messages=MESSAGES, workers=st.integers(1, 4), pollers=st.integers(1, 2), is_batched=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@virtual_clock
async def test_whatever_fails_each_group_keeps_its_order(
    messages: list[Message], workers: int, pollers: int, is_batched: bool
) -> None:
    """Order is what FIFO is bought for: no failure, retry or dead letter lets a later message overtake."""
    service, record = MemoryService(now), Record(messages)
    broker = BrokerOnMemory(service)
    queue = SQSQueue("lanes", fifo=True, dead_letter="lanes-dlq.fifo", max_receive_count=50)
    service.declare(queue)
    options: dict[str, Any] = {"max_workers": workers, "pollers": pollers, "wait_time": 0, "attempts": ATTEMPTS}

    @broker.subscriber(queue, retry=Backoff.immediate(), batch=is_batched, **options)
    async def handle(body: Any) -> None:
        await record.handle(body if is_batched else [body])

    await broker.connect()
    for number, (group, _) in enumerate(messages):
        await broker.publish(number, "lanes.fifo", group_id=group, deduplication_id=str(number))
    async with started(broker):
        await eventually(lambda: not service.messages("lanes.fifo"), what="the queue is empty")
    assert not record.faults
    assert {group: record.done[group] for group in "abc"} == {group: record.expected(group) for group in "abc"}
    dead = [int(letter["Body"]) for letter in service.messages("lanes-dlq.fifo")]
    assert sorted(dead) == [number for number, (_, fails) in enumerate(messages) if fails >= ATTEMPTS]


async def publish_numbers(aws: Aws, queue: SQSQueue, groups: str) -> None:
    async with started(broker_on(aws)) as broker:
        broker.publisher(queue)
        await broker.start()
        for number, group in enumerate(groups):
            await broker.publish(number, queue, group_id=group, deduplication_id=str(number))


@pytest.mark.parametrize("workers", [1, 4])
async def test_forty_messages_of_four_groups_cost_a_fifth_of_a_request_each(aws: Aws, workers: int) -> None:
    """Order must not cost a request for each message."""
    await publish_numbers(aws, SQSQueue("cheap", fifo=True), "abcd" * 10)
    broker, done = broker_on(aws), []

    @broker.subscriber(SQSQueue("cheap", fifo=True), max_workers=workers, wait_time=1)
    async def handle(number: int) -> None:
        done.append(number)

    async with started(broker):
        await eventually(lambda: is_empty(aws, "cheap.fifo"), what="the queue is empty")
        receives, deletes = [await aws.calls("sqs", f"{call}") for call in ("ReceiveMessage", "DeleteMessageBatch")]
    assert sorted(done) == list(range(40))
    assert receives <= 6
    assert deletes <= 6


async def test_groups_go_side_by_side(aws: Aws) -> None:
    """One slow group holds nobody but itself."""
    await publish_numbers(aws, SQSQueue("side", fifo=True), "aabbcc")
    broker, done, go_on = broker_on(aws), [], asyncio.Event()

    @broker.subscriber(SQSQueue("side", fifo=True), max_workers=2, wait_time=0)
    async def handle(number: int) -> None:
        if number == 0:
            await go_on.wait()
        done.append(number)

    async with started(broker):
        await eventually(lambda: len(done) == 4, what="the other groups are through")
        assert done == [2, 3, 4, 5]
        go_on.set()
        await eventually(lambda: len(done) == 6, what="the slow one follows")
    assert done[4:] == [0, 1]


async def test_those_behind_a_failure_are_received_once_only(aws: Aws) -> None:
    """Otherwise SQS would redrive what nobody ever tried, because the message in front of it failed too often."""
    queue = SQSQueue("behind", fifo=True, dead_letter="behind-dlq", max_receive_count=4)
    await publish_numbers(aws, queue, "aaaaaa")
    broker, seen = broker_on(aws), []

    @broker.subscriber(queue, wait_time=0, retry=Backoff.immediate())
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, message.receive_count))
        if number == 0:
            raise ValueError("never works")

    async with started(broker):
        await eventually(lambda: is_empty(aws, "behind.fifo"), what="the queue is empty")
        letters = await messages_in(aws, "behind-dlq.fifo")
    assert seen[:4] == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert [number for number, _ in seen[4:]] == [1, 2, 3, 4, 5]
    assert max(count for _, count in seen[4:]) == 1
    assert [(letter.body, letter.headers["dead-letter-reason"]) for letter in letters] == [(b"0", "failed 4 times")]


async def test_a_rejected_message_does_not_stop_its_group(aws: Aws) -> None:
    """It is in the dead letters: the next one is next."""
    queue = SQSQueue("reject", fifo=True, dead_letter="reject-dlq", max_receive_count=4)
    await publish_numbers(aws, queue, "aaa")
    broker, seen = broker_on(aws), []

    @broker.subscriber(queue, wait_time=0)
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, message.receive_count))
        if number == 0:
            raise RejectMessage(reason="unknown")

    async with started(broker):
        await eventually(lambda: is_empty(aws, "reject.fifo"), what="the queue is empty")
    assert seen == [(0, 1), (1, 1), (2, 1)]


async def in_memory(service: MemoryService, queue: SQSQueue, groups: str) -> BrokerOnMemory:
    """A broker, and numbers in the queue."""
    broker = BrokerOnMemory(service, graceful_timeout=0.1)
    service.declare(queue)
    await broker.connect()
    for number, group in enumerate(groups):
        await broker.publish(number, queue, group_id=group, deduplication_id=str(number))
    return broker


@virtual_clock
async def test_what_a_manual_handler_leaves_blocks_its_group() -> None:
    """Nothing overtakes a message that nobody has settled."""
    service, queue = MemoryService(now), SQSQueue("manual", fifo=True, visibility_timeout=30)
    broker, seen = await in_memory(service, queue, "aa"), list[int]()

    @broker.subscriber(queue, wait_time=0, ack_policy=AckPolicy.MANUAL)
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append(number)
        if len(seen) > 1:
            await message.ack()

    async with started(broker):
        await asyncio.sleep(29)
        assert seen == [0]
        await eventually(lambda: not service.messages("manual.fifo"), what="the queue is empty")
    assert seen == [0, 0, 1]


@virtual_clock
async def test_what_waits_in_its_group_is_kept_and_goes_back_at_stop() -> None:
    """Messages behind a slow one are extended with it, and visible at once when the process stops."""
    service, queue = MemoryService(now), SQSQueue("kept", fifo=True, visibility_timeout=30)
    broker, begun = await in_memory(service, queue, "aaaa"), list[int]()

    @broker.subscriber(queue, wait_time=0)
    async def handle(number: int) -> None:
        begun.append(number)
        await asyncio.sleep(6000)

    def held() -> int:
        return sum(stored.visible_at > now() for stored in service._queue("kept.fifo").messages)

    async with started(broker):
        await eventually(lambda: begun, what="the first is in work")
        for _ in range(100):
            await asyncio.sleep(7)
            assert held() == 4
        await broker.stop()
        assert held() == 0
    assert [stored.receive_count for stored in service._queue("kept.fifo").messages] == [1] * 4
    assert begun == [0]


@virtual_clock
async def test_what_was_lost_while_it_waited_is_not_handled() -> None:
    """Others have it by then: it comes again, and is handled once here instead of twice."""
    service, seen, go_on = MemoryService(now), [], asyncio.Event()
    broker = BrokerOnMemory(service)
    queue = SQSQueue("lost", fifo=True, visibility_timeout=1)
    service.declare(queue)

    @broker.subscriber(queue, wait_time=0)
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, message.receive_count))
        if number == 0:
            await go_on.wait()

    await broker.connect()
    for number in range(2):
        await broker.publish(number, queue, group_id="a", deduplication_id=str(number))
    async with started(broker):
        await eventually(lambda: seen, what="the first is in work")
        _, second = service._queue("lost.fifo").messages
        # As if somebody else had received it: our receipt is worth nothing.
        second.handle = "of somebody else"
        # More than half of the visibility timeout: the heartbeat has learned of it.
        await asyncio.sleep(0.8)
        go_on.set()
        await eventually(lambda: not service.messages("lost.fifo"), what="the queue is empty")
    assert seen == [(0, 1), (1, 2)]


@virtual_clock
async def test_of_a_batch_of_which_others_have_a_part_the_rest_goes_back() -> None:
    """It is not handled without its first message, nor hidden until its visibility timeout ends."""
    service, queue = MemoryService(now), SQSQueue("parts", fifo=True, visibility_timeout=600)
    broker, calls, go_on = await in_memory(service, queue, "abb"), list[list[int]](), asyncio.Event()

    @broker.subscriber(queue, batch=True, wait_time=0)
    async def handle(numbers: list[int]) -> None:
        calls.append(numbers)
        if numbers == [0]:
            await go_on.wait()

    async with started(broker):
        await eventually(lambda: calls, what="the first group is in work")
        _, lost, _ = service._queue("parts.fifo").messages
        lost.handle = "of somebody else"
        # Half of the visibility timeout: the heartbeat learns of it.
        await asyncio.sleep(310)
        await service.delete_batch("parts.fifo", [lost.handle])
        go_on.set()
        await eventually(lambda: [2] in calls, within_s=60, what="the rest comes again")
    assert calls == [[0], [2]]


class Noting(MemoryService):
    """Notes how many messages each receive asks for."""

    def __init__(self) -> None:
        super().__init__(now)
        self.asked: list[int] = []

    async def receive(self, queue_url: str, *, max_messages: int, **options: Any) -> list[dict[str, Any]]:
        self.asked.append(max_messages)
        return await super().receive(queue_url, max_messages=max_messages, **options)


@virtual_clock
async def test_after_a_failure_messages_come_in_tens() -> None:
    """One at a time costs ten times the requests, and a second receive counts against each behind the failed one."""
    service, seen = Noting(), []
    broker = BrokerOnMemory(service)
    queue = SQSQueue("again", fifo=True)
    service.declare(queue)

    @broker.subscriber(queue, wait_time=0, retry=Backoff.immediate())
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, message.receive_count))
        if len(seen) == 1:
            raise ValueError("the first time")

    await broker.connect()
    for number in range(3):
        await broker.publish(number, queue, group_id="a", deduplication_id=str(number))
    async with started(broker):
        await eventually(lambda: not service.messages("again.fifo"), what="the queue is empty")
    assert set(service.asked) == {10}
    assert seen == [(0, 1), (0, 2), (1, 1), (2, 1)]
