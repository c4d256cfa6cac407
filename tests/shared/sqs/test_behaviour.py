"""What the broker promises, in memory and on AWS: one class per promise."""

import asyncio
from typing import Any

import pytest
from faststream import AckPolicy
from faststream.exceptions import NackMessage, RejectMessage, SetupError
from pydantic import BaseModel

from bbws.shared.sqs import (
    Backoff,
    PauseSubscriber,
    SNSTopic,
    SQSBroker,
    SQSMessage,
    SQSPublisher,
    SQSQueue,
    SQSResponse,
    SQSRoute,
    SQSRouter,
    TopicLink,
)
from tests.shared.sqs.worlds import World, as_json

# Short polls: stopping need not wait for a long one.
FAST: dict[str, Any] = {"wait_time": 0, "retry": Backoff.immediate()}
QUEUE = SQSQueue("orders", dead_letter="orders-dlq", max_receive_count=3)


class Order(BaseModel):
    id: int
    note: str = ""


class Seen(list[SQSMessage]):
    """Messages that handlers got, in order."""

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for message in self]


def recording(broker: SQSBroker | SQSRouter, queue: SQSQueue | str, **options: Any) -> Seen:
    """Subscribe a handler that only notes what it gets."""
    seen = Seen()

    async def note(message: SQSMessage) -> None:
        seen.append(message)

    broker.subscriber(queue, **(FAST | options))(note)
    return seen


@pytest.mark.both_clients
class TestDelivery:
    async def test_a_handler_gets_the_validated_body(self, world: World) -> None:
        """The published model arrives as the model that the handler asks for, and the message is gone."""
        broker, got = world.broker(), []

        @broker.subscriber("orders", **FAST)
        async def handle(order: Order) -> None:
            got.append(order)

        async with world.running(broker):
            await broker.publish(Order(id=7, note="blue"), "orders")
            await world.until(lambda: got, "the handler ran")
            await world.emptied("orders")
        assert got == [Order(id=7, note="blue")]

    @pytest.mark.parametrize(
        "body",
        [b"", b"\x00\xff binary", "tab\tnew\nline \u00e9 \U0001f600", "bell \x07 and \x1b escape", " ", "empty"],
        ids=["empty", "binary", "text", "illegal-in-xml", "space", "looks-like-a-marker"],
    )
    async def test_every_body_arrives_as_it_was_sent(self, world: World, body: bytes | str) -> None:
        """SQS refuses empty and binary bodies; users must not notice, and no marker may leak into the headers."""
        broker = world.broker()
        seen = recording(broker, "bodies")
        async with world.running(broker):
            await broker.publish(body, "bodies")
            await world.until(lambda: seen, "the body arrived")
        assert seen.bodies == [body if isinstance(body, bytes) else body.encode()]
        assert "content-encoding" not in seen[0].headers

    async def test_fifteen_headers_arrive(self, world: World) -> None:
        """SQS takes ten attributes; more, and those it would refuse, travel packed."""
        headers = {f"h{i}": str(i) for i in range(13)} | {"with space": "x", "void": "", "control": "\x01"}
        broker = world.broker()
        seen = recording(broker, "headers")
        async with world.running(broker):
            await broker.publish("x", "headers", headers=headers, correlation_id="c-1")
            await world.until(lambda: seen, "the message arrived")
        assert headers.items() <= seen[0].headers.items()
        assert seen[0].correlation_id == "c-1"
        assert seen[0].content_type == "text/plain"

    async def test_a_message_without_correlation_id_has_its_message_id(self, world: World) -> None:
        """Logs can always be followed, also for messages of others; and no id is made up per message."""
        broker = world.broker(id_generator=lambda: "")
        seen = recording(broker, "foreign")
        async with world.running(broker):
            message_id = await broker.publish("x", "foreign")
            await world.until(lambda: seen, "the message arrived")
        assert (seen[0].correlation_id, seen[0].message_id) == (message_id, message_id)
        assert (seen[0].receive_count, seen[0].queue) == (1, "foreign")
        assert seen[0].sent_at is not None

    async def test_a_batch_of_25_arrives_and_answers_ids_in_order(self, world: World) -> None:
        """`publish_batch` splits into calls of ten; callers see one."""
        broker = world.broker()
        seen = recording(broker, "batch", max_workers=10)
        async with world.running(broker):
            ids = await broker.publish_batch(*range(25), queue="batch")
            await world.until(lambda: len(seen) == 25, "all arrived")
        by_id = {message.message_id: message.body for message in seen}
        assert [by_id[message_id] for message_id in ids] == [str(i).encode() for i in range(25)]

    async def test_a_fifo_group_stays_in_order_with_many_workers(self, world: World) -> None:
        """Order within a group is what FIFO is bought for; several workers must not undo it."""
        broker, seen = world.broker(), Seen()

        @broker.subscriber(SQSQueue("lane", fifo=True), max_workers=5, **FAST)
        async def handle(number: int, message: SQSMessage) -> None:
            # The earlier the slower: side by side they would overtake each other.
            await asyncio.sleep(0.3 / (number + 1))
            seen.append(message)

        async with world.running(broker):
            for i in range(6):
                await broker.publish(i, "lane.fifo", group_id="ab"[i % 2], deduplication_id=f"d{i}")
            await world.until(lambda: len(seen) == 6, "all arrived")
        for group in "ab":
            got = [int(message.body) for message in seen if message.group_id == group]
            assert got == sorted(got)


class TestTopics:
    async def test_a_topic_reaches_each_queue_whose_filter_lets_it(self, world: World) -> None:
        """Filters on attributes and on the body decide per subscription, as in SNS."""
        topic = SNSTopic("events")
        by_header = TopicLink(topic, filter_policy={"kind": [{"prefix": "order-"}]})
        by_body = TopicLink(topic, filter_policy={"type": ["PAID"]}, filter_scope="MessageBody")
        broker = world.broker()
        seen = {
            name: recording(broker, SQSQueue(name, topics=[link]))
            for name, link in {"all": TopicLink(topic), "headers": by_header, "body": by_body}.items()
        }
        async with world.running(broker):
            await broker.publish({"type": "PAID"}, topic=topic, headers={"kind": "order-paid"})
            await broker.publish({"type": "MADE"}, topic="events", headers={"kind": "site-made"})
            await broker.publish({"type": "PAID"}, topic=topic)
            await world.until(lambda: len(seen["all"]) == 3 and len(seen["body"]) == 2, "all arrived")
            await world.until(lambda: seen["headers"], "the filtered one arrived")
        assert [as_json(body) for body in seen["headers"].bodies] == [{"type": "PAID"}]
        assert all(as_json(body) == {"type": "PAID"} for body in seen["body"].bodies)

    async def test_the_envelope_of_sns_is_taken_off(self, world: World) -> None:
        """Without raw delivery the handler still sees body and headers as published, and which topic they came by."""
        broker = world.broker()
        seen = recording(broker, SQSQueue("wrapped", topics=[TopicLink("events", raw=False)]))
        kept = recording(broker, SQSQueue("kept", topics=[TopicLink("events", raw=False)]), unwrap_sns=False)
        async with world.running(broker):
            await broker.publish(b"\x00raw", topic="events", headers={"a": "1"}, correlation_id="c", subject="s")
            await world.until(lambda: seen and kept, "both arrived")
        assert (seen[0].body, seen[0].headers["a"], seen[0].correlation_id) == (b"\x00raw", "1", "c")
        assert (seen[0].topic_arn or "").endswith(":events")
        assert as_json(kept[0].body)["Type"] == "Notification"
        assert kept[0].topic_arn is None

    async def test_a_batch_goes_to_a_topic(self, world: World) -> None:
        """`publish_batch` works for topics as for queues."""
        broker = world.broker()
        seen = recording(broker, SQSQueue("all", topics=[TopicLink("events")]), max_workers=10)
        async with world.running(broker):
            await broker.publish_batch(*range(12), topic="events")
            await world.until(lambda: len(seen) == 12, "all arrived")
        assert sorted(int(body) for body in seen.bodies) == list(range(12))


@pytest.mark.both_clients
class TestRetry:
    async def test_a_failed_message_comes_again_until_it_works(self, world: World) -> None:
        """A passing fault costs a retry, not a message."""
        broker, attempts = world.broker(), []

        @broker.subscriber(SQSQueue("flaky", dead_letter="flaky-dlq", max_receive_count=5), **FAST)
        async def handle(order: Order, message: SQSMessage) -> None:
            attempts.append(message.receive_count)
            if len(attempts) < 3:
                raise OSError("not yet")

        async with world.running(broker):
            await world.publish(broker.publish(Order(id=1), "flaky"))
            await world.until(lambda: len(attempts) == 3, "the third attempt")
            await world.emptied("flaky")
            assert await world.depth("flaky-dlq") == 0
        assert attempts == [1, 2, 3]

    async def test_nack_message_with_a_delay_comes_again(self, world: World) -> None:
        """`raise NackMessage(delay=...)` decides itself when the message returns."""
        broker, attempts = world.broker(), []

        @broker.subscriber(QUEUE, wait_time=0, retry=Backoff.none())
        async def handle(order: Order, message: SQSMessage) -> None:
            attempts.append(message.receive_count)
            if len(attempts) == 1:
                raise NackMessage(delay=1)

        async with world.running(broker):
            await broker.publish(Order(id=1), "orders")
            await world.until(lambda: len(attempts) == 2, "the second attempt")
            await world.emptied("orders")

    async def test_manual_settlement_is_the_handlers(self, world: World) -> None:
        """With MANUAL the handler alone decides; a settled message is settled once."""
        broker, counts = world.broker(), []

        @broker.subscriber("manual", ack_policy=AckPolicy.MANUAL, **FAST)
        async def handle(message: SQSMessage) -> None:
            counts.append(message.receive_count)
            await (message.nack() if message.receive_count == 1 else message.ack())
            await message.nack()

        async with world.running(broker):
            await broker.publish("x", "manual")
            await world.emptied("manual")
        assert counts == [1, 2]


@pytest.mark.both_clients
class TestDeadLetters:
    async def test_the_last_attempt_lands_there_with_its_story(self, world: World) -> None:
        """Whoever looks into the dead letters must see why, where, and the body as it was."""
        broker = world.broker()

        @broker.subscriber(QUEUE, **FAST)
        async def charge(order: Order) -> None:
            raise ValueError("card expired")

        async with world.running(broker):
            trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
            sent = broker.publish(Order(id=1, note="é"), "orders", headers=trace, correlation_id="c-9")
            await world.publish(sent)
            await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
            await world.emptied("orders")
            [letter] = await world.messages("orders-dlq")
        assert as_json(letter.body) == {"id": 1, "note": "é"}
        story = letter.headers
        assert story["dead-letter-reason"] == "failed 3 times"
        assert story["dead-letter-exception"] == "ValueError: card expired"
        assert story["dead-letter-handler"] == "charge"
        assert story["dead-letter-queue"] == "orders"
        assert story["dead-letter-receive-count"] == "3"
        assert story["dead-letter-trace-id"] == "0af7651916cd43dd8448eb211c80319c"
        assert story["dead-letter-first-seen"].startswith("20")
        assert letter.correlation_id == "c-9"

    async def test_a_rejected_message_lands_there_at_once(self, world: World) -> None:
        """What no retry can cure must not use up attempts."""
        broker, attempts = world.broker(), []

        @broker.subscriber(QUEUE, **FAST)
        async def handle(message: SQSMessage) -> None:
            attempts.append(message)
            raise RejectMessage(reason="unknown product") from KeyError("p-1")

        async with world.running(broker):
            await broker.publish(b"\x00odd", "orders")
            await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
            [letter] = await world.messages("orders-dlq")
        assert letter.headers["dead-letter-reason"] == "unknown product"
        assert letter.headers["dead-letter-exception"] == "KeyError: 'p-1'"
        assert letter.body == b"\x00odd"
        assert len(attempts) == 1

    async def test_attempts_of_the_subscriber_win_over_the_queue(self, world: World) -> None:
        """SQS's own count is the backstop for crashes; the broker buries earlier, with the reason."""
        broker, seen = world.broker(), []

        @broker.subscriber(QUEUE, attempts=1, **FAST)
        async def handle(message: SQSMessage) -> None:
            seen.append(message.receive_count)
            raise ValueError("once is enough")

        async with world.running(broker):
            await world.publish(broker.publish("x", "orders"))
            await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
        assert seen == [1]

    async def test_what_does_not_validate_is_a_failed_attempt(self, world: World) -> None:
        """By default a parse error is retried like any error and ends with its reason and raw body."""
        broker = world.broker()

        @broker.subscriber(QUEUE, **FAST)
        async def handle(order: Order) -> None:
            raise AssertionError("never reached")

        async with world.running(broker):
            await world.publish(broker.publish("{not json", "orders"))
            await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
            [letter] = await world.messages("orders-dlq")
        assert letter.body == b"{not json"
        assert "ValidationError" in letter.headers["dead-letter-exception"]

    async def test_reject_on_error_buries_the_first_failure(self, world: World) -> None:
        """A consumer whose errors are never worth a retry says so in its policy."""
        broker = world.broker()

        @broker.subscriber(QUEUE, ack_policy=AckPolicy.REJECT_ON_ERROR, **FAST)
        async def handle(order: Order) -> None:
            raise AssertionError("never reached")

        async with world.running(broker):
            await world.publish(broker.publish("{not json", "orders"))
            await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
            [letter] = await world.messages("orders-dlq")
        assert letter.headers["dead-letter-receive-count"] == "1"

    async def test_an_envelope_that_cannot_be_read_does_not_spin(self, world: World) -> None:
        """Not even parsed, a message still counts its attempts and ends in the dead letters."""
        broker = world.broker()
        seen = recording(broker, QUEUE, unwrap_sns=True)
        async with world.running(broker):
            await world.publish(broker.publish("no envelope", "orders"))
            await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
            [letter] = await world.messages("orders-dlq")
        assert "expected a notification of SNS" in letter.headers["dead-letter-exception"]
        assert not seen

    async def test_ten_attributes_leave_room_for_the_story(self, world: World) -> None:
        """A message with all ten attributes still tells why it died, and keeps its own headers."""
        headers = {f"h{i}": str(i) for i in range(12)}
        broker = world.broker()

        @broker.subscriber(QUEUE, **FAST)
        async def handle(message: SQSMessage) -> None:
            raise RejectMessage(reason="full")

        async with world.running(broker):
            await broker.publish("x", "orders", headers=headers)
            await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
            [letter] = await world.messages("orders-dlq")
        assert letter.headers["dead-letter-reason"] == "full"
        assert headers.items() <= letter.headers.items()

    async def test_without_a_dead_letter_queue_the_log_has_the_body(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The last trace of a rejected message is the log line, so it carries everything."""
        import logging

        broker = world.broker(logger=logging.getLogger("sqs-test"))

        @broker.subscriber("bare", **FAST)
        async def handle(message: SQSMessage) -> None:
            raise RejectMessage(reason="unwanted")

        async with world.running(broker):
            # The test broker replaces the logger; what it got is asked of the queue alone.
            await broker.publish("the body", "bare")
            await world.emptied("bare")
        if type(world).__name__ == "Emulated":
            [line] = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
            assert "unwanted" in line
            assert "the body" in line


class TestPausing:
    async def test_an_outage_leaves_the_dead_letters_empty(self, world: World) -> None:
        """A dependency that is out must not turn a full queue into a full dead-letter queue."""
        up = False
        done: set[int] = set()
        broker = world.broker()

        async def probe() -> bool:
            return up

        @broker.subscriber(QUEUE, attempts=1, **FAST)
        async def handle(order: Order) -> None:
            if not up:
                raise PauseSubscriber(reason="database is out", probe=probe, delay=0)
            done.add(order.id)

        subscriber = broker.subscribers[0]
        async with world.running(broker):
            for i in range(4):
                await broker.publish(Order(id=i), "orders")
            await world.until(lambda: subscriber.paused, "the pause")  # type: ignore[attr-defined]
            up = True
            await world.until(lambda: len(done) == 4, "everything after the outage")
            await world.emptied("orders")
            assert await world.depth("orders-dlq") == 0
            assert not subscriber.paused  # type: ignore[attr-defined]


class TestPublishers:
    async def test_a_handlers_answer_is_published(self, world: World) -> None:
        """Decorated publishers send what the handler returns, to queues and topics, with headers and FIFO fields."""
        broker = world.broker()
        to_queue = recording(broker, SQSQueue("next", fifo=True))
        to_topic = recording(broker, SQSQueue("heard", topics=[TopicLink("said")]))

        @broker.subscriber("first", **FAST)
        @broker.publisher("next.fifo", headers={"from": "first"}, group_id="g")
        @broker.publisher(topic="said")
        async def handle(number: int) -> SQSResponse:
            return SQSResponse(number + 1, headers={"a": "b"}, deduplication_id="d")

        async with world.running(broker):
            await broker.publish(1, "first", correlation_id="c")
            await world.until(lambda: to_queue and to_topic, "both arrived")
        assert (to_queue[0].body, to_queue[0].headers["from"], to_queue[0].group_id) == (b"2", "first", "g")
        assert to_topic[0].headers["a"] == "b"
        assert {to_queue[0].correlation_id, to_topic[0].correlation_id} == {"c"}

    async def test_a_batch_publisher_sends_one_message_each(self, world: World) -> None:
        """`batch=True` makes a list of answers a list of messages."""
        broker = world.broker()
        seen = recording(broker, "parts")

        @broker.subscriber("whole", **FAST)
        @broker.publisher("parts", batch=True)
        async def split(text: str) -> list[str]:
            return text.split()

        async with world.running(broker):
            await broker.publish("a b c", "whole")
            await world.until(lambda: len(seen) == 3, "all parts arrived")
        assert sorted(seen.bodies) == [b"a", b"b", b"c"]

    async def test_a_batch_publisher_called_by_hand_sends_one_message_each(self, world: World) -> None:
        """As it does with what a handler returns: ids in order, fields of each message, more than one call takes."""
        broker = world.broker()
        seen = recording(broker, "parts", max_workers=10)
        publisher = broker.publisher("parts", batch=True, headers={"of": "all"})
        async with world.running(broker):
            ids = await publisher.publish([None, 0, SQSResponse("own", headers={"of": "one"}), *range(12)])
            assert await publisher.publish([]) == await publisher.publish(None) == []
            assert len(await publisher.publish("one text is one message")) == 1
            await world.until(lambda: len(seen) == 16, "all parts arrived")
        by_id = {message.message_id: message for message in seen}
        assert [by_id[one].body for one in ids[:3]] == [b"", b"0", b"own"]
        assert [by_id[one].headers["of"] for one in ids[:3]] == ["all", "all", "one"]
        with pytest.raises(SetupError, match="deduplication_id"):
            await publisher.publish([1, 2], deduplication_id="same")

    async def test_the_answer_goes_where_the_message_asks(self, world: World) -> None:
        """`reply_to` names a queue; `no_reply` keeps silent."""
        broker = world.broker()
        answers = recording(broker, "answers")

        @broker.subscriber("ask", **FAST)
        async def ask(number: int) -> int:
            return number * 2

        @broker.subscriber("ignore", no_reply=True, **FAST)
        async def ignore(number: int) -> int:
            return number

        async with world.running(broker):
            await broker.publish(1, "ignore", reply_to="answers")
            await broker.publish(21, "ask", reply_to="answers")
            await world.until(lambda: answers, "the answer")
            await world.emptied("ignore")
        assert answers.bodies == [b"42"]

    async def test_a_publisher_object_publishes(self, world: World) -> None:
        """The object that `broker.publisher` returns can be called by hand."""
        broker = world.broker()
        seen = recording(broker, "by-hand")
        publisher = broker.publisher("by-hand", headers={"a": "1"})
        async with world.running(broker):
            await publisher.publish("x", headers={"b": "2"})
            await world.until(lambda: seen, "the message arrived")
        assert {"a": "1", "b": "2"}.items() <= seen[0].headers.items()


class TestRouters:
    async def test_prefixes_name_queues_and_topics(self, world: World) -> None:
        """Routers nest, and their prefixes apply to what they subscribe, publish, link and bury."""
        got: list[Any] = []

        async def handle(number: int) -> int:
            got.append(number)
            if number < 0:
                raise RejectMessage(reason="negative")
            return number

        queue = SQSQueue("in", dead_letter="in-dlq", topics=[TopicLink("news")])
        inner = SQSRouter("b-", handlers=[SQSRoute(handle, queue, publishers=[SQSPublisher("out")], **FAST)])
        router = SQSRouter("a-", routers=[inner])
        broker = world.broker(routers=[router])
        seen = recording(broker, "a-b-out")
        async with world.running(broker):
            await broker.publish(1, topic="a-b-news")
            await broker.publish(-1, "a-b-in")
            await world.until(lambda: len(got) == 2 and seen, "both handled")
            await world.until(lambda: world.depth("a-b-in-dlq"), "the dead letter")
        assert seen.bodies == [b"1"]

    async def test_a_brokers_policy_is_that_of_its_routers(self, world: World) -> None:
        """A policy of the whole application that routers ignore would delete what handlers mean to keep."""
        router, done = SQSRouter(), asyncio.Event()

        @router.subscriber("kept", **FAST)
        async def handle(body: str) -> None:
            done.set()

        broker = world.broker(ack_policy=AckPolicy.MANUAL)
        broker.include_router(router)
        async with world.running(broker):
            await world.publish(broker.publish("x", "kept"))
            await world.until(done.is_set, "it is handled")
        assert await world.depth("kept") == 1

    async def test_middlewares_and_concurrent_handlers(self, world: World) -> None:
        """A middleware of the broker sees every message, and may turn an error into a rejection."""
        from faststream import BaseMiddleware

        class RejectValueErrors(BaseMiddleware):
            async def consume_scope(self, call_next: Any, msg: Any) -> Any:
                try:
                    return await call_next(msg)
                except ValueError as error:
                    raise RejectMessage(reason=f"invalid: {error}") from error

        broker = world.broker(middlewares=[RejectValueErrors])

        @broker.subscriber(QUEUE, max_workers=3, **FAST)
        async def handle(order: Order) -> None:
            await asyncio.sleep(0)
            raise ValueError("no such product")

        async with world.running(broker):
            await broker.publish(Order(id=1), "orders")
            await world.until(lambda: world.depth("orders-dlq"), "the dead letter")
            [letter] = await world.messages("orders-dlq")
        assert letter.headers["dead-letter-reason"] == "invalid: no such product"
        assert letter.headers["dead-letter-exception"] == "ValueError: no such product"

    async def test_middlewares_however_they_are_written(self, world: World) -> None:
        """`__aenter__` may return nothing, an instance may have scopes of its own: with messages, batches, answers."""
        from faststream import BaseMiddleware

        trace: list[str] = []

        def named(name: str) -> Any:
            class Terse(BaseMiddleware):
                def __init__(self, msg: Any, /, *, context: Any) -> None:
                    super().__init__(msg, context=context)
                    self.consume_scope = self.take  # type: ignore[method-assign]
                    self.publish_scope = self.give  # type: ignore[method-assign]

                async def __aenter__(self) -> None:  # type: ignore[override]
                    trace.append(f"{name} enters")

                async def take(self, call_next: Any, msg: Any) -> Any:
                    trace.append(f"{name} takes")
                    return await call_next(msg)

                async def give(self, call_next: Any, cmd: Any) -> Any:
                    trace.append(f"{name} gives")
                    return await call_next(cmd)

            return Terse

        broker = world.broker(middlewares=[named("outer"), named("inner")], reply_queue="replies")
        batches: list[list[str]] = []

        @broker.subscriber("one", **FAST)
        async def one(body: str) -> str:
            return body

        @broker.subscriber("many", batch=True, **FAST)
        async def many(bodies: list[str]) -> None:
            batches.append(bodies)

        gives, handles = ["outer gives", "inner gives"], ["outer enters", "inner enters", "outer takes", "inner takes"]
        async with world.running(broker):
            await broker.publisher("many").publish("x")
            await world.until(lambda: batches, "the batch is handled")
            await world.emptied("many")
            assert trace == gives + handles
            trace.clear()
            assert await (await broker.request("y", "one", timeout=5)).decode() == "y"
            # Asked, handled, answered; FastStream enters the middlewares of an answer from the inside.
            assert sorted(trace) == sorted([*gives, *handles, *gives, *handles])
