"""SQS buries without a reason what it delivers too often: no message gets there because we gave it back. In memory."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bbws.shared.sqs import Backoff, PauseSubscriber, ReturnMessage, SQSBroker, SQSMessage, SQSQueue
from bbws.shared.sqs.dead_letters import EXCEPTION, FIRST_SEEN, MESSAGE_ID, REASON, RECEIVE_COUNT
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.outgoing import Outgoing
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, started
from tests.support.waiting import eventually

FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate()}


def queue(limit: int, **options: Any) -> SQSQueue:
    return SQSQueue("q", dead_letter="q-dlq", max_receive_count=limit, **options)


def memory(limit: int, **options: Any) -> MemoryService:
    service = MemoryService(now)
    service.declare(queue(limit, **options))
    return service


def reasons(service: MemoryService) -> list[str]:
    """Of the dead letters; "" of those that SQS moved itself."""
    return [letter["MessageAttributes"].get(REASON, {}).get("StringValue", "") for letter in service.messages("q-dlq")]


async def published(service: MemoryService, bodies: Sequence[Any]) -> BrokerOnMemory:
    broker = BrokerOnMemory(service, graceful_timeout=0.1)
    await broker.connect()
    await broker.publish_batch(*bodies, queue="q")
    return broker


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("workers", [1, 5])
@virtual_clock
async def test_what_waits_behind_hanging_handlers_is_handled(limit: int, workers: int) -> None:
    """Received in advance again and again while handlers hang, good messages were buried without a trial (B1)."""
    service, receives, quick = memory(limit, visibility_timeout=30), Counter[int](), 300
    broker = await published(service, range(quick + workers + 40))

    @broker.subscriber("q", max_workers=workers, **FAST)
    async def handle(number: int, message: SQSMessage) -> None:
        receives[number] = message.receive_count
        if quick <= number < quick + workers:
            await asyncio.sleep(45)

    async with started(broker):
        await eventually(lambda: not service.messages("q"), within_s=120, what="all are done")
    assert receives.keys() == set(range(quick + workers + 40))
    assert max(receives.values()) <= 2
    assert not service.messages("q-dlq")


@virtual_clock
async def test_while_every_handler_hangs_nothing_is_received() -> None:
    """What nobody here can begin is for others; a single slow handler is no reason to receive nothing."""
    service, begun, go_on = memory(3), list[int](), asyncio.Event()
    broker = await published(service, range(60))

    @broker.subscriber("q", max_workers=2, **FAST)
    async def handle(number: int) -> None:
        begun.append(number)
        if number in {40, 41}:
            await go_on.wait()

    def received() -> int:
        return sum(stored.visible_at > now() for stored in service._queue("q").messages)

    async with started(broker):
        await eventually(lambda: {40, 41} <= set(begun), what="both hang")
        # What was received in advance has been given back once by now.
        await asyncio.sleep(20)
        for _ in range(100):
            assert received() == 2
            await asyncio.sleep(1)
        go_on.set()
        await eventually(lambda: not service.messages("q"), what="all are done")


@virtual_clock
async def test_what_was_received_before_is_begun_first() -> None:
    """Its receives are counted, a new message has all of them before it."""
    service, seen = memory(5), list[tuple[int, int]]()
    broker = await published(service, range(60))
    old = service._queue("q").messages[59]
    old.receive_count = 1

    @broker.subscriber("q", **FAST)
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, message.receive_count))
        await asyncio.sleep(0.01)

    async with started(broker):
        await eventually(lambda: not service.messages("q"), what="all are done")
    # It came with the last ones, and overtook those that were here already.
    assert (59, 2) in seen[:55]


@pytest.mark.parametrize("limit", [1, 2, 3, 20])
@virtual_clock
async def test_stops_cost_no_attempts(limit: int) -> None:
    """Three deploys cut a handler off, then it fails: it has all its attempts left, also in the next process (B11)."""
    service, attempts, cut = memory(limit), list[int](), 0
    allowed = min(limit, 3)

    async def process() -> SQSBroker:
        broker = BrokerOnMemory(service, graceful_timeout=0.1)

        @broker.subscriber("q", attempts=3, **FAST)
        async def handle(body: str, message: SQSMessage) -> None:
            attempts.append(message.receive_count)
            if cut < 3:
                await asyncio.sleep(600)
            raise ValueError("never")

        return broker

    def has_begun(times: int) -> bool:
        return len(attempts) == times

    async with started(await process()) as broker:
        [message_id] = await broker.publish_batch("x", queue="q")
        began = now()
        for number in (1, 2, 3):
            await eventually(partial(has_begun, number), what="it is in work")
            await broker.stop()
            cut = number
            broker = await process()
            await broker.start()
        await eventually(lambda: service.messages("q-dlq"), what="the dead letter")
        await broker.stop()
    assert attempts == list(range(1, 4 + allowed))
    assert reasons(service) == [f"failed {allowed} times"]
    [letter] = service.messages("q-dlq")
    story = {name: each["StringValue"] for name, each in letter["MessageAttributes"].items()}
    assert (story[MESSAGE_ID], story[RECEIVE_COUNT]) == (message_id, str(3 + allowed))
    assert datetime.fromisoformat(story[FIRST_SEEN]).timestamp() == pytest.approx(began, abs=1)
    assert "x-requeued" not in story


@pytest.mark.parametrize("limit", [1, 2, 3])
@virtual_clock
async def test_an_outage_buries_nothing(limit: int) -> None:
    """However often it was tried in vain: pauses are no failures, and SQS must not count them as such."""
    service, receives, up = memory(limit), list[int](), False
    broker = await published(service, ["x"])

    async def lies() -> None: ...

    @broker.subscriber("q", attempts=2, **FAST)
    async def handle(message: SQSMessage) -> None:
        receives.append(message.receive_count)
        if not up:
            raise PauseSubscriber(reason="out", probe=lies, delay=30)

    async with started(broker):
        await eventually(lambda: len(receives) > 20, within_s=1000, what="many trials")
        assert not service.messages("q-dlq")
        up = True
        await eventually(lambda: not service.messages("q"), within_s=100, what="it is done")
    assert receives == list(range(1, len(receives) + 1))
    assert not service.messages("q-dlq")


@virtual_clock
async def test_not_yet_is_said_as_often_as_need_be() -> None:
    """It comes when its delay ends, not earlier, and has its attempts left when the time has come."""
    service, came = memory(3), list[float]()
    broker = await published(service, ["x"])

    @broker.subscriber("q", attempts=2, **FAST)
    async def handle(body: str) -> None:
        came.append(now())
        if len(came) <= 10:
            raise ReturnMessage(delay=60)
        raise ValueError("no")

    async with started(broker):
        await eventually(lambda: service.messages("q-dlq"), within_s=1000, what="the dead letter")
    assert all(60 <= later - earlier < 61 for earlier, later in pairwise(came[:11]))
    assert reasons(service) == ["failed 2 times"]


@pytest.mark.parametrize(("limit", "attempts", "times"), [(1, 5, 1), (2, 5, 2), (3, None, 3), (5, 2, 2)])
@virtual_clock
async def test_what_failed_is_buried_by_us(limit: int, attempts: int | None, times: int) -> None:
    """With `attempts` above the queue's own limit SQS would be first, and say nothing."""
    service, tried = memory(limit), 0
    broker = await published(service, ["x"])

    @broker.subscriber("q", attempts=attempts, **FAST)
    async def handle(body: str) -> None:
        nonlocal tried
        tried += 1
        raise ValueError("never")

    async with started(broker):
        await eventually(lambda: service.messages("q-dlq"), what="the dead letter")
    assert tried == times
    assert reasons(service) == [f"failed {times} times"]


@virtual_clock
async def test_a_receive_that_was_no_attempt_takes_none() -> None:
    """Returned once untouched, a message has one delivery less than attempts: a copy gives it the last one."""
    service, receives = memory(3), list[int]()
    broker = await published(service, ["x"])

    @broker.subscriber("q", attempts=3, **FAST)
    async def handle(message: SQSMessage) -> None:
        receives.append(message.receive_count)
        if len(receives) == 1:
            raise ReturnMessage(delay=0)
        raise ValueError("never")

    async with started(broker):
        await eventually(lambda: service.messages("q-dlq"), what="the dead letter")
    assert receives == [1, 2, 3, 4]
    assert reasons(service) == ["failed 3 times"]


class Slow(MemoryService):
    """What was received arrives a second later."""

    async def receive(self, queue_url: str, **options: Any) -> list[dict[str, Any]]:
        received = await super().receive(queue_url, **options)
        await asyncio.sleep(1)
        return received


@virtual_clock
async def test_what_comes_into_a_pause_has_all_its_attempts_left() -> None:
    """Received once before by somebody unknown, now given back untouched: its copy tells of no failure."""
    service, begun, tried, is_up = Slow(now), asyncio.Event(), 0, False
    service.declare(queue(5))
    broker = await published(service, ["first"])

    async def well() -> None:
        await asyncio.sleep(5)

    @broker.subscriber("q", max_workers=2, **FAST)
    async def handle(body: str) -> None:
        nonlocal tried, is_up
        if body == "x":
            tried += 1
            raise ValueError("never")
        if not is_up:
            is_up = True
            begun.set()
            await asyncio.sleep(1.5)
            raise PauseSubscriber(reason="out", probe=well, delay=30)

    async with started(broker):
        await begun.wait()
        await broker.publish("x", "q")
        service._queue("q").messages[-1].receive_count = 1
        await eventually(lambda: service.messages("q-dlq"), within_s=200, what="the dead letter")
    assert tried == 5
    assert reasons(service) == ["failed 5 times"]


class NoCopies(MemoryService):
    """Its policy does not let the consumer send to the queue it reads from."""

    async def send(self, queue_url: str, message: Outgoing) -> str:
        if not queue_url.endswith("-dlq"):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "sqs:SendMessage"}}, "SendMessage")
        return await super().send(queue_url, message)


@pytest.mark.parametrize("limit", [1, 3])
@virtual_clock
async def test_where_no_copy_can_be_sent_it_is_returned_and_at_last_buried(limit: int) -> None:
    """The last thing that may happen is that SQS buries it and nobody knows why."""
    service = NoCopies(now)
    service.declare(queue(limit))
    service._store("q", Outgoing('"x"'))
    begun = asyncio.Event()
    for _ in range(limit):
        broker = BrokerOnMemory(service, graceful_timeout=0.1)

        @broker.subscriber("q", attempts=3, **FAST)
        async def handle(body: str) -> None:
            begun.set()
            await asyncio.sleep(600)

        async with started(broker):
            await begun.wait()
        begun.clear()
    [reason] = reasons(service)
    assert f"received {limit} times" in reason


@virtual_clock
async def test_a_copy_is_what_the_message_was() -> None:
    """Body, headers of every kind, group and correlation: who handles the copy sees no difference, but its count."""
    service, seen, begun = memory(1), list[Any](), asyncio.Event()
    headers = {f"h{i}": str(i) for i in range(14)}

    def consumer() -> BrokerOnMemory:
        broker = BrokerOnMemory(service, graceful_timeout=0.1)

        @broker.subscriber("q", **FAST)
        async def handle(body: bytes, message: SQSMessage) -> None:
            said = (
                body,
                message.headers,
                message.group_id,
                message.correlation_id,
                message.message_id,
                message.sent_at,
            )
            seen.append((message.receive_count, said))
            begun.set()
            if message.receive_count < 3:
                await asyncio.sleep(600)

        return broker

    broker = consumer()
    await broker.connect()
    await broker.publish(b"\xff\x00", "q", headers=headers, group_id="tenant-1", correlation_id="c-1")
    for _ in range(3):
        begun.clear()
        async with started(broker):
            await begun.wait()
            await asyncio.sleep(1)
        broker = consumer()
    assert not service.messages("q")
    assert [count for count, _ in seen] == [1, 2, 3]
    assert seen[0][1] == seen[1][1] == seen[2][1]
    assert seen[0][1][1].items() >= headers.items()
    assert EXCEPTION not in seen[2][1][1]
