"""What the subscriber does to SQS: calls, workers, visibility. On AWS over HTTP only, whose clock is the real one."""

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from faststream.exceptions import NackMessage, SetupError

from bbws.shared.sqs import Backoff, SettlementError, SQSMessage, SQSQueue
from tests.shared.sqs.worlds import broker_on, counts, is_empty, messages_in, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually


class TestRequests:
    async def test_forty_messages_cost_a_tenth_of_forty_calls(self, aws: Aws) -> None:
        """Requests are what SQS bills: receives and deletes come in tens."""
        broker, done = broker_on(aws), []

        @broker.subscriber("many", max_workers=10, wait_time=1)
        async def handle(number: int) -> None:
            done.append(number)

        await broker.connect()
        async with started(broker_on(aws)) as other:
            other.publisher("many")
            await other.start()
            await other.publish_batch(*range(40), queue="many")
        async with started(broker):
            await eventually(lambda: is_empty(aws, "many"), what="the queue is empty")
            assert await aws.calls("sqs", "DeleteMessageBatch") <= 6
            assert await aws.calls("sqs", "DeleteMessage") == 0
            assert await aws.calls("sqs", "ReceiveMessage") <= 8
        assert sorted(done) == list(range(40))

    async def test_an_idle_subscriber_polls_once_in_its_wait_time(self, aws: Aws) -> None:
        """Long polls make idling cheap."""
        broker = broker_on(aws)

        @broker.subscriber("idle", wait_time=1)
        async def handle(number: int) -> None: ...

        async with started(broker):
            await eventually(lambda: aws.calls("sqs", "ReceiveMessage"), what="the first poll")
            await asyncio.sleep(1.5)
            assert await aws.calls("sqs", "ReceiveMessage") <= 3

    async def test_a_single_acknowledgement_does_not_linger(self, aws: Aws) -> None:
        """Waiting for company makes no sense where none can come: with one worker a delete leaves at once."""
        broker, took = broker_on(aws), []
        loop = asyncio.get_running_loop()

        @broker.subscriber("single", wait_time=0)
        async def handle(message: SQSMessage) -> None:
            before = loop.time()
            await message.ack()
            took.append(loop.time() - before)

        async with started(broker):
            for _ in range(5):
                await broker.publish("x", "single")
            await eventually(lambda: len(took) == 5, what="all handled")
        assert min(took) < 0.045


class TestConcurrency:
    async def test_one_slow_message_never_holds_the_others(self, aws: Aws) -> None:
        """There is no batch to wait for: a worker that is free takes the next message."""
        broker, done, go_on = broker_on(aws), [], asyncio.Event()

        @broker.subscriber("mixed", max_workers=2, wait_time=1)
        async def handle(number: int) -> None:
            if number == 0:
                await go_on.wait()
            done.append(number)

        async with started(broker):
            await broker.publish(0, "mixed")
            await broker.publish_batch(*range(1, 13), queue="mixed")
            await eventually(lambda: len(done) == 12, what="all others are done")
            go_on.set()
            await eventually(lambda: is_empty(aws, "mixed"), what="the queue is empty")
        assert done[-1] == 0

    async def test_no_more_is_received_than_there_are_workers(self, aws: Aws) -> None:
        """What is received and not worked on is lost to other consumers."""
        broker, running, most, go_on = broker_on(aws), 0, 0, asyncio.Event()

        @broker.subscriber("bounded", max_workers=3, wait_time=0)
        async def handle(number: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await go_on.wait()
            running -= 1

        async with started(broker):
            await broker.publish_batch(*range(8), queue="bounded")
            await eventually(lambda: running == 3, what="all workers are busy")
            assert await counts(aws, "bounded") == {"visible": 5, "held": 3, "delayed": 0}
            go_on.set()
            await eventually(lambda: is_empty(aws, "bounded"), what="the queue is empty")
        assert most == 3

    async def test_what_a_handler_sets_in_its_context_is_not_seen_by_the_next(self, aws: Aws) -> None:
        """Tenant and trace of one message in the log lines of another would be worse than none."""
        broker, seen, tenant = broker_on(aws), [], ContextVar("tenant", default="nobody")

        @broker.subscriber("tenants", wait_time=1)
        async def handle(name: str) -> None:
            seen.append(tenant.get())
            tenant.set(name)

        async with started(broker):
            await broker.publish_batch("a", "b", "c", queue="tenants")
            await eventually(lambda: len(seen) == 3, what="all are handled")
        assert set(seen) == {"nobody"}

    def test_options_that_sqs_refuses_are_refused_when_declared(self, aws: Aws) -> None:
        """A wrong figure must not wait for the first message to show."""
        broker = broker_on(aws)
        for option in ({"batch_size": 11}, {"wait_time": 21}, {"max_workers": 0}, {"attempts": 0}):
            with pytest.raises(SetupError):
                broker.subscriber("q", **option)  # type: ignore[arg-type]
        with pytest.raises(SetupError):
            SQSQueue("q", visibility_timeout=50_000)


class TestHeartbeat:
    """What SQS makes of it, in real seconds; when the heartbeat calls is asked in test_heartbeat.py."""

    async def test_a_long_handler_keeps_its_message(self, aws: Aws) -> None:
        """A message of two seconds' visibility survives a handler of more than three, undisturbed and once."""
        broker, started_at, done = broker_on(aws), [], []

        @broker.subscriber(SQSQueue("slow", visibility_timeout=2), max_workers=2, wait_time=1)
        async def handle(number: int) -> None:
            started_at.append(number)
            await asyncio.sleep(3.2)
            done.append(number)

        async with started(broker):
            await broker.publish_batch(1, 2, queue="slow")
            await eventually(lambda: len(done) == 2, what="the handlers end")
            await eventually(lambda: is_empty(aws, "slow"), what="the queue is empty")
        assert sorted(started_at) == [1, 2]
        # After one, two and three seconds, both messages in one call.
        assert 3 <= await aws.calls("sqs", "ChangeMessageVisibilityBatch") <= 8

    async def test_without_heartbeat_the_message_comes_again(self, aws: Aws) -> None:
        """Switched off, the visibility timeout alone decides; proves that the heartbeat does the work above."""
        broker, receives, go_on = broker_on(aws), [], asyncio.Event()

        @broker.subscriber("lapsing", visibility_timeout=1, heartbeat=False, max_workers=2, wait_time=1)
        async def handle(message: SQSMessage) -> None:
            receives.append(message.receive_count)
            await go_on.wait()

        async with started(broker):
            await broker.publish("x", "lapsing")
            await eventually(lambda: receives == [1, 2], what="the second delivery")
            go_on.set()

    async def test_extend_moves_the_timeout(self, aws: Aws) -> None:
        """A handler that knows it needs longer says so itself."""
        broker, receives, go_on = broker_on(aws), [], asyncio.Event()

        @broker.subscriber("extended", visibility_timeout=1, heartbeat=False, max_workers=2, wait_time=0)
        async def handle(message: SQSMessage) -> None:
            receives.append(message.receive_count)
            await message.extend(60)
            await go_on.wait()

        async with started(broker):
            await broker.publish("x", "extended")
            await eventually(lambda: receives, what="the delivery")
            await asyncio.sleep(1.5)
            assert receives == [1]
            go_on.set()


class TestNack:
    async def test_the_back_off_keeps_a_failed_message_away(self, aws: Aws) -> None:
        """A failed message waits in SQS, not in the consumer, and takes no worker meanwhile."""
        broker, receives = broker_on(aws), []

        @broker.subscriber("waiting", wait_time=0, retry=Backoff.exponential(base=60, cap=60, jitter=False))
        async def handle(message: SQSMessage) -> None:
            receives.append(message.receive_count)
            raise OSError

        async with started(broker):
            await broker.publish("x", "waiting")
            await eventually(lambda: receives, what="the first attempt")
            await eventually(lambda: aws.calls("sqs", "ChangeMessageVisibilityBatch"), what="the return")
            assert await counts(aws, "waiting") == {"visible": 0, "held": 1, "delayed": 0}
        assert receives == [1]

    async def test_an_acknowledgement_that_sqs_refuses_says_why(self, aws: Aws) -> None:
        """A message that somebody else deleted must not count as acknowledged."""
        broker, errors = broker_on(aws), []

        @broker.subscriber("stolen", wait_time=0)
        async def handle(message: SQSMessage) -> None:
            async with aws.client("sqs") as sqs:
                await sqs.purge_queue(QueueUrl=(await sqs.get_queue_url(QueueName="stolen"))["QueueUrl"])
            with pytest.raises(SettlementError) as caught:
                await message.ack()
            errors.append(caught.value)

        async with started(broker):
            await broker.publish("x", "stolen")
            await eventually(lambda: errors, what="the refusal")
        assert errors[0].code == "ReceiptHandleIsInvalid"

    async def test_a_failed_delete_is_tried_again(self, aws: Aws) -> None:
        """A moment's fault of SQS must not make a handled message come again."""
        once = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})
        broker, receives = broker_on(aws, client_config=once), []
        await aws.inject("sqs", operation="DeleteMessageBatch", times=2)

        @broker.subscriber(SQSQueue("retried", visibility_timeout=30), wait_time=0)
        async def handle(message: SQSMessage) -> None:
            receives.append(message.receive_count)

        async with started(broker):
            await broker.publish("x", "retried")
            await eventually(lambda: is_empty(aws, "retried"), what="the delete works")
        assert receives == [1]


class TestBurying:
    async def test_a_letter_that_cannot_be_copied_is_not_lost(self, aws: Aws) -> None:
        """Copy first, then delete: while the copy fails the message stays in its queue."""
        broker, receives = broker_on(aws), []
        queue = SQSQueue("orders", dead_letter="orders-dlq", max_receive_count=20)

        @broker.subscriber(queue, attempts=1, wait_time=0, retry=Backoff.immediate())
        async def handle(message: SQSMessage) -> None:
            receives.append(message.receive_count)
            raise ValueError("no")

        async with started(broker):
            await broker.publish("x", "orders")
            await eventually(lambda: receives, what="the first attempt")
            await eventually(lambda: messages_in(aws, "orders-dlq"), what="the dead letter")
            before = len(receives)
            await aws.inject("sqs", operation="SendMessage", status=400, code="KmsThrottled", times=3)
            async with aws.client("sqs") as sqs:
                url = (await sqs.get_queue_url(QueueName="orders"))["QueueUrl"]
                await sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "0", "MessageBody": "y"}])
            await eventually(lambda: len(receives) > before + 1, what="another attempt after the failed copy")
            await eventually(lambda: is_empty(aws, "orders"), what="the queue is empty")
            letters = [letter.body for letter in await messages_in(aws, "orders-dlq")]
        assert sorted(letters) == [b"x", b"y"]

    async def test_the_dead_letter_queue_is_found_in_the_redrive_policy(self, aws: Aws) -> None:
        """In production the infrastructure knows the dead-letter queue and the code only the queue's name."""
        async with started(broker_on(aws)) as maker:
            maker.publisher(SQSQueue("jobs", dead_letter="jobs-dlq", max_receive_count=2))
            await maker.start()
        broker = broker_on(aws, declare=False)

        @broker.subscriber("jobs", wait_time=0, retry=Backoff.immediate())
        async def handle(message: SQSMessage) -> None:
            raise ValueError("no")

        async with started(broker):
            await broker.publish("x", "jobs")
            [letter] = await eventually(lambda: messages_in(aws, "jobs-dlq"), what="the dead letter")
        assert letter.headers["dead-letter-reason"] == "failed 2 times"

    async def test_a_fifo_letter_keeps_its_group(self, aws: Aws) -> None:
        """The dead-letter queue of a FIFO queue is FIFO and takes nothing without a group."""
        broker = broker_on(aws)
        queue = SQSQueue("lane", fifo=True, dead_letter="lane-dlq", max_receive_count=1)

        @broker.subscriber(queue, wait_time=0)
        async def handle(message: SQSMessage) -> None:
            raise ValueError("no")

        async with started(broker):
            await broker.publish("x", "lane.fifo", group_id="g", deduplication_id="d")
            [letter] = await eventually(lambda: messages_in(aws, "lane-dlq.fifo"), what="the dead letter")
        assert letter.group_id == "g"


class TestPulling:
    async def test_get_one_takes_and_times_out(self, aws: Aws) -> None:
        """A consumer without handler pulls single messages and settles them itself."""
        broker = broker_on(aws)
        subscriber = broker.subscriber("pulled")
        async with started(broker):
            await broker.publish("x", "pulled")
            message = await subscriber.get_one(timeout=5)
            assert message is not None
            assert await message.decode() == "x"
            await message.ack()
            assert await subscriber.get_one(timeout=0.3) is None
            assert await is_empty(aws, "pulled")

    async def test_a_cancelled_get_one_loses_nothing(self, aws: Aws) -> None:
        """The receive goes on without its caller, and what it brings is visible again at once."""
        broker = broker_on(aws)
        subscriber = broker.subscriber(SQSQueue("pulled", visibility_timeout=600))
        async with started(broker):
            waiting = asyncio.create_task(subscriber.get_one(timeout=3))
            await eventually(lambda: aws.calls("sqs", "ReceiveMessage"), what="the receive is under way")
            waiting.cancel()
            await asyncio.wait([waiting])
            await broker.publish("x", "pulled")
            await eventually(lambda: aws.calls("sqs", "ChangeMessageVisibilityBatch"), what="the return")
            message = await subscriber.get_one(timeout=5)
            assert message is not None
            assert message.receive_count == 2

    async def test_iteration_ends_with_the_subscriber(self, aws: Aws) -> None:
        """`async for` gives one message after the other until the subscriber stops."""
        broker, got = broker_on(aws), []
        subscriber = broker.subscriber("iterated", wait_time=1)

        async def consume() -> None:
            async for message in subscriber:
                got.append(message.body)
                await message.ack()

        async with started(broker):
            consuming = asyncio.create_task(consume())
            await broker.publish_batch("a", "b", "c", queue="iterated")
            await eventually(lambda: len(got) == 3, what="three messages")
            await subscriber.stop()
            await asyncio.wait_for(consuming, 5)
        assert sorted(got) == [b"a", b"b", b"c"]


async def test_a_nack_in_good_time_frees_the_worker(aws: Aws) -> None:
    """`raise NackMessage` waits in SQS: the only worker takes the next message."""
    broker, got = broker_on(aws), list[Any]()

    @broker.subscriber("requeue", wait_time=0)
    async def handle(number: int) -> None:
        got.append(number)
        if number == 1:
            raise NackMessage(delay=600)

    async with started(broker):
        await broker.publish(1, "requeue")
        await broker.publish(2, "requeue")
        await eventually(lambda: len(got) == 2, what="both were tried")
        await eventually(lambda: aws.calls("sqs", "DeleteMessageBatch"), what="the second is done")
        assert (await counts(aws, "requeue"))["held"] == 1
