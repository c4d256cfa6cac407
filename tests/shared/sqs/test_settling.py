"""How messages end where something else fails at the same time. In memory."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError
from faststream.exceptions import RejectMessage

from bbws.shared.sqs import (
    Backoff,
    PauseSubscriber,
    PayloadBucket,
    ReturnMessage,
    SQSBroker,
    SQSMessage,
    SQSQueue,
    SQSSubscriber,
    TestSQSBroker,
)
from bbws.shared.sqs.client import Client, Failure
from bbws.shared.sqs.dead_letters import REASON
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.outgoing import Outgoing
from bbws.shared.sqs.payloads import MemoryObjects, Payloads, Pointer
from bbws.shared.sqs.subscriber import consumption, settlement
from tests.shared.sqs.virtual_clock import freeze, now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, started
from tests.support.waiting import eventually

QUEUE = SQSQueue("q", dead_letter="q-dlq", max_receive_count=3)
FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate()}


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "AnyCall")


class Unwell(MemoryService):
    """What is given to a constructor argument fails so often."""

    def __init__(self, *, copies: int = 0) -> None:
        super().__init__(now)
        self.failing_copies = copies
        self.is_gone = False
        self.returns: list[tuple[str, int]] = []
        self.declare(QUEUE)

    async def send(self, queue_url: str, message: Outgoing) -> str:
        if queue_url.endswith("-dlq") and self.failing_copies:
            self.failing_copies -= 1
            raise refused("KmsThrottled")
        return await super().send(queue_url, message)

    async def receive(self, queue_url: str, **options: Any) -> list[dict[str, Any]]:
        if self.is_gone:
            raise refused("QueueDoesNotExist")
        return await super().receive(queue_url, **options)

    async def queue_attributes(self, queue_url: str) -> dict[str, str]:
        if self.is_gone:
            raise refused("QueueDoesNotExist")
        return await super().queue_attributes(queue_url)

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        self.returns += entries
        return await super().change_visibility_batch(queue_url, entries)


@virtual_clock
async def test_a_copy_that_fails_twice_is_made_with_the_same_attempt() -> None:
    """A moment's fault of the dead-letter queue must not make a poison message come again."""
    service, receives = Unwell(copies=2), list[int]()
    broker = BrokerOnMemory(service)

    @broker.subscriber(QUEUE, attempts=1, **FAST)
    async def handle(message: SQSMessage) -> None:
        receives.append(message.receive_count)
        raise ValueError("never")

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: service.messages("q-dlq"), what="the dead letter")
        await eventually(lambda: not service.messages("q"), what="the original is deleted")
    assert receives == [1]


@virtual_clock
async def test_where_the_redrive_policy_cannot_be_read_nothing_is_buried() -> None:
    """Another attempt does less harm than a wrong burial."""
    service, receives, go_on = Unwell(), list[int](), asyncio.Event()
    broker = BrokerOnMemory(service)

    @broker.subscriber(SQSQueue("q", dead_letter="q-dlq"), **FAST)
    async def handle(message: SQSMessage) -> None:
        receives.append(message.receive_count)
        if message.receive_count == 1:
            await go_on.wait()
            raise ValueError("the first time")

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: receives, what="it is in work")
        service.is_gone = True
        await asyncio.sleep(20)
        go_on.set()
        await asyncio.sleep(20)
        service.is_gone = False
        await eventually(lambda: not service.messages("q"), within_s=60, what="the second attempt")
    assert receives == [1, 2]
    assert not service.messages("q-dlq")


@virtual_clock
async def test_a_dead_letter_queue_that_was_attached_later_is_found() -> None:
    """The message is about to be destroyed for want of one: the policy is looked up again."""
    service = MemoryService(now)
    broker = BrokerOnMemory(service)

    @broker.subscriber("later", **FAST)
    async def handle(number: int) -> None:
        raise RejectMessage(reason="no")

    async with started(broker):
        await asyncio.sleep(1)
        service.declare(SQSQueue("later", dead_letter="later-dlq", max_receive_count=3))
        await broker.publish(1, "later")
        await eventually(lambda: service.messages("later-dlq"), what="the dead letter")


@virtual_clock
async def test_the_count_in_the_code_wins_over_that_of_the_queue() -> None:
    """`SQSQueue(max_receive_count=…)` says how often, whatever the infrastructure has in addition."""
    service, receives = MemoryService(now), list[int]()
    broker = BrokerOnMemory(service)
    service.declare(SQSQueue("own", dead_letter="own-dlq", max_receive_count=5))

    @broker.subscriber(SQSQueue("own", max_receive_count=2), **FAST)
    async def handle(message: SQSMessage) -> None:
        receives.append(message.receive_count)
        raise ValueError("never")

    async with started(broker):
        await broker.publish(1, "own")
        await eventually(lambda: service.messages("own-dlq"), what="the dead letter")
    assert receives == [1, 2]


async def test_a_rejection_without_a_reason_says_what_it_was_raised_from() -> None:
    """An empty reason in the dead letters helps nobody."""
    broker = SQSBroker()

    @broker.subscriber(QUEUE)
    async def handle(number: int, message: SQSMessage) -> None:
        if number == 1:
            raise RejectMessage from KeyError("p-1")
        await message.reject()

    test_broker = TestSQSBroker(broker)
    async with test_broker:
        for number in (1, 2):
            await broker.publish(number, "q")
        letters = await test_broker.messages("q-dlq")
    assert [letter.headers[REASON] for letter in letters] == ["KeyError: 'p-1'", "rejected without a reason"]


class Objects(MemoryObjects):
    """Notes whether the message was gone when its object went."""

    def __init__(self, has_message: Callable[[], bool], *, fails: bool) -> None:
        super().__init__()
        self._has_message = has_message
        self._fails = fails
        self.early: list[bool] = []

    async def delete(self, at: Pointer) -> None:
        self.early.append(self._has_message())
        if self._fails:
            raise refused("AccessDenied")
        await super().delete(at)


class WithPayloads(BrokerOnMemory):
    def __init__(self, service: MemoryService, objects: Objects) -> None:
        super().__init__(service, logger=logging.getLogger("payloads"))
        self._payloads = Payloads(PayloadBucket("b", delete=True), objects)

    async def _connect(self) -> Client:
        self.config.broker_config.connect(self._service, self._payloads)
        return self._service


@pytest.mark.parametrize("fails", [False, True])
@virtual_clock
async def test_the_object_goes_after_its_message(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The other way round a crash leaves a message without its body; an object that stays is only told."""
    service, done = MemoryService(now), list[int]()
    objects = Objects(lambda: bool(service.messages("q")), fails=fails)
    broker = WithPayloads(service, objects)

    @broker.subscriber("q", **FAST)
    async def handle(text: str) -> None:
        done.append(len(text))

    async with started(broker):
        await broker.publish("x" * 2**21, "q")
        await eventually(lambda: objects.early, what="the object is asked to go")
    assert objects.early == [False]
    assert done == [2**21]
    assert bool([r for r in caplog.records if "the body stays in s3://b/" in r.getMessage()]) is fails
    assert not [r for r in caplog.records if r.levelno > logging.WARNING]


@virtual_clock
async def test_a_returned_message_waits_out_its_delay() -> None:
    """No dependency is out: nothing calls it back."""
    service, came = MemoryService(now), list[float]()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", **FAST)
    async def handle(message: SQSMessage) -> None:
        came.append(now())
        if len(came) == 1:
            raise ReturnMessage(delay=60)

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: len(came) == 2, within_s=100, what="the second delivery")
    assert 60 <= came[1] - came[0] < 61


@virtual_clock
async def test_a_message_is_tried_once_while_its_dependency_only_seems_well() -> None:
    """Where the probe says well and the work fails, each trial would cost the message one of SQS's own receives."""
    service, receives = MemoryService(now), list[int]()
    broker = BrokerOnMemory(service)

    async def probe() -> None: ...

    @broker.subscriber("q", **FAST)
    async def handle(message: SQSMessage) -> None:
        receives.append(message.receive_count)
        raise PauseSubscriber(reason="still out", probe=probe, delay=600)

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(500)
    assert receives == [1, 2]


@virtual_clock
async def test_what_is_visible_again_is_not_called_back() -> None:
    """Others may have it by then: the old receipt must not take it away from them."""
    service, done = Unwell(), list[int]()
    broker, up = BrokerOnMemory(service), False

    async def probe() -> bool:
        return up

    @broker.subscriber("q", attempts=3, **FAST)
    async def handle(number: int) -> None:
        if not up:
            raise PauseSubscriber(reason="out", probe=probe, delay=5)
        done.append(number)

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(30)
        up = True
        await eventually(lambda: done, within_s=30, what="it is done after the outage")
        await asyncio.sleep(5)
    assert [seconds for _, seconds in service.returns] == [5]


@virtual_clock
async def test_excuses_are_kept_for_so_many_messages_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long outage must not fill the memory; the latest are those that come next."""
    monkeypatch.setattr(settlement, "_COUNTED_MESSAGES", 5)
    service, up = MemoryService(now), False
    broker = BrokerOnMemory(service)
    service.declare(QUEUE)

    async def probe() -> bool:
        return up

    @broker.subscriber(QUEUE, attempts=1, max_workers=10, **FAST)
    async def handle(number: int) -> None:
        nonlocal up
        if not up:
            await asyncio.sleep(number)
            raise ReturnMessage(delay=100)
        raise ValueError("never")

    async with started(broker):
        ids = await broker.publish_batch(*range(8), queue="q")
        await asyncio.sleep(20)
        [subscriber] = broker.subscribers
        assert isinstance(subscriber, SQSSubscriber)
        assert list(subscriber._work.settler._excused) == ids[3:]


@virtual_clock
async def test_a_delete_that_sqs_refuses_for_good_is_asked_once() -> None:
    """It would refuse it again: a wrong receipt stays wrong."""
    service = Refusing(Failure(0, "ReceiptHandleIsInvalid", "has expired", sender_fault=True))
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", **FAST)
    async def handle(number: int) -> None: ...

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(20)
    assert service.deletes == 1


class Refusing(MemoryService):
    """Deletes nothing."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(now)
        self._failure = failure
        self.deletes = 0

    async def delete_batch(self, queue_url: str, receipt_handles: Sequence[str]) -> Sequence[Failure]:
        self.deletes += 1
        return [self._failure]


async def test_a_handler_in_a_thread_that_outlasts_the_stop_loses_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be cancelled: its message is visible to others, and the stop does not wait for ever."""
    monkeypatch.setattr(consumption, "_CUT_OFF_S", 0.1)
    service, begun, go_on = MemoryService(now), threading.Event(), threading.Event()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", **FAST)
    def handle(number: int) -> None:
        begun.set()
        go_on.wait()

    try:
        async with started(broker):
            await broker.publish(1, "q")
            await eventually(begun.is_set, what="it is in work")
            async with asyncio.timeout(5):
                await broker.stop()
            assert len(service._queue("q").receivable(now() + 0.1)) == 1
    finally:
        go_on.set()


@virtual_clock
async def test_a_stop_does_not_wait_for_a_handler_that_will_not_be_cancelled() -> None:
    """Its message is given to others after five seconds: a deploy must not hang on one handler."""
    service, begun, go_on = MemoryService(now), list[int](), asyncio.Event()
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", visibility_timeout=600, **FAST)
    async def handle(number: int) -> None:
        begun.append(number)
        while not go_on.is_set():
            with suppress(asyncio.CancelledError):
                await go_on.wait()

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: begun, what="it is in work")
        try:
            async with asyncio.timeout(10):
                await broker.stop()
            assert len(service._queue("q").receivable(now() + 0.1)) == 1
        finally:
            go_on.set()


class Slow(Unwell):
    """Its answers about visibility take ten seconds."""

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        await asyncio.sleep(10)
        return await super().change_visibility_batch(queue_url, entries)


@virtual_clock
async def test_what_is_given_back_when_the_outage_has_ended_is_called_back() -> None:
    """It was still on its way to SQS when the others were called: it must not wait out an outage that is over."""
    service, done, began = Slow(), list[str](), now()
    broker = BrokerOnMemory(service)

    async def probe() -> None: ...

    @broker.subscriber("q", max_workers=2, visibility_timeout=60, **FAST)
    async def handle(body: str, message: SQSMessage) -> None:
        if body == "early" and message.receive_count == 1:
            raise PauseSubscriber(reason="out", probe=probe, delay=600)
        done.append(body)

    [subscriber] = broker.subscribers
    assert isinstance(subscriber, SQSSubscriber)
    async with started(broker):
        await broker.publish("early", "q")
        await eventually(lambda: subscriber.paused, what="the pause")
        await broker.publish("later", "q")
        await eventually(lambda: "early" in done, within_s=1000, what="it is called back")
    assert done == ["later", "early"]
    assert now() - began < 60


@virtual_clock
async def test_what_fails_after_its_lease_comes_again_by_itself() -> None:
    """Others may have it: the old receipt must not hide it from them."""
    service, receives = Unwell(), list[int]()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", visibility_timeout=4, wait_time=0, retry=Backoff.exponential(60))
    async def handle(message: SQSMessage) -> None:
        receives.append(message.receive_count)
        if len(receives) == 1:
            freeze(6)
            raise ValueError("the first time")

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: not service.messages("q"), within_s=100, what="the second attempt")
    assert receives == [1, 2]
    assert service.returns == []


@virtual_clock
async def test_what_fails_after_its_last_lease_gets_no_copy() -> None:
    """SQS may have moved it already: its copy would be handled beside its own dead letter."""
    service, tried = MemoryService(now), 0
    queue = SQSQueue("twice", dead_letter="twice-dlq", max_receive_count=2, visibility_timeout=4)
    service.declare(queue)
    broker = BrokerOnMemory(service)

    @broker.subscriber(queue, attempts=2, **FAST)
    async def handle(number: int) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise ReturnMessage(delay=0)
        freeze(6)
        raise ValueError("late")

    async with started(broker):
        await broker.publish(1, "twice")
        await eventually(lambda: not service.messages("twice"), what="it is buried")
        await asyncio.sleep(30)
    assert tried == 2
    assert service.messages("twice-dlq")


@virtual_clock
async def test_a_letter_is_tried_no_longer_than_the_lease_lasts() -> None:
    """Then SQS moves the message itself: one letter more, as soon as the queue is well, would be a second one."""
    service = Unwell(copies=1000)
    broker = BrokerOnMemory(service)

    @broker.subscriber(QUEUE, attempts=3, visibility_timeout=10, heartbeat=False, **FAST)
    async def handle(number: int) -> None:
        raise ValueError("never")

    async with started(broker):
        await broker.publish(1, "q")
        await asyncio.sleep(60)
        tried = service.failing_copies
        await asyncio.sleep(60)
        assert service.failing_copies == tried < 1000


@virtual_clock
async def test_a_delay_that_no_copy_may_have_is_that_of_a_return() -> None:
    """SQS delays what is sent for 15 minutes at most, and hides what was received for twelve hours."""
    service, came, ids = Unwell(), list[float](), set[str]()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", attempts=2, **FAST)
    async def handle(message: SQSMessage) -> None:
        came.append(now())
        ids.add(message.raw_message.sqs_id)
        if len(came) < 3:
            raise ReturnMessage(delay=3600)

    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: len(came) == 3, within_s=8000, what="its time has come")
    assert [seconds for _, seconds in service.returns] == [3600, 3600]
    assert len(ids) == 1


@virtual_clock
async def test_what_is_done_is_no_longer_counted() -> None:
    """Else what is done crowds out what is still to come."""
    service, counted = MemoryService(now), set[str]()
    first = {"excused": ReturnMessage(delay=0), "failed": ValueError("once")}
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", **FAST)
    async def handle(body: str, message: SQSMessage) -> None:
        how, end = body.split()
        if message.receive_count == 1:
            raise first[how]
        counted.update(known())
        if end == "rejected":
            raise RejectMessage(reason="no")

    [subscriber] = broker.subscribers
    assert isinstance(subscriber, SQSSubscriber)

    def known() -> list[str]:
        settler = subscriber._work.settler
        return [*settler._excused, *settler._returned_failures]

    async with started(broker):
        await broker.publish_batch("excused done", "failed done", "excused rejected", "failed rejected", queue="q")
        await eventually(lambda: not service.messages("q"), what="all are done")
    assert len(counted) == 4
    assert known() == []
