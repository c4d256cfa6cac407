"""Publishing beyond what the behaviour suite asks: limits, partial failures, fields of SQS and SNS."""

import pytest
from faststream.exceptions import IncorrectState, SetupError

from bbws.shared.sqs import MessageTooLarge, PartialPublishError, SNSTopic, SQSQueue, TopicLink
from tests.shared.sqs.worlds import broker_on, counts, messages_in, started
from tests.support.emulator import Aws

MIB = 1024 * 1024


async def test_the_refused_part_of_a_batch_is_told(aws: Aws) -> None:
    """Callers can send again what failed, and only that."""
    broker = broker_on(aws)
    broker.publisher(SQSQueue("tight", attributes={"MaximumMessageSize": "1024"}))
    async with started(broker):
        with pytest.raises(PartialPublishError) as caught:
            await broker.publish_batch("a", "b" * 2000, "c", queue="tight")
        assert [(failed.index, failed.body[:1]) for failed in caught.value.failed] == [(1, "b")]
        assert not caught.value.failed[0].maybe_sent
        assert [sent.index for sent in caught.value.sent] == [0, 2]
        assert {m.message_id for m in await messages_in(aws, "tight")} == {s.message_id for s in caught.value.sent}


async def test_a_batch_call_that_fails_is_told_and_not_repeated(aws: Aws) -> None:
    """Our own repetition could send twice."""
    broker = broker_on(aws)
    broker.publisher("plain")
    async with started(broker):
        await aws.inject("sqs", operation="SendMessageBatch", status=400, code="AccessDenied", times=1)
        with pytest.raises(PartialPublishError) as caught:
            await broker.publish_batch(*range(12), queue="plain")
    assert [failed.index for failed in caught.value.failed] == list(range(10))
    assert {failed.code for failed in caught.value.failed} == {"AccessDenied"}
    assert [sent.index for sent in caught.value.sent] == [10, 11]


async def test_what_is_too_large_is_refused_before_sending(aws: Aws) -> None:
    """The error names size and limit; nothing of a batch is sent when one message cannot be."""
    broker = broker_on(aws)
    broker.publisher("big")
    async with started(broker):
        with pytest.raises(MessageTooLarge, match="SQS takes at most 1048576"):
            await broker.publish("x" * MIB, "big")
        with pytest.raises(MessageTooLarge, match="SNS takes at most 262144"):
            await broker.publish("x" * 262_144, topic=SNSTopic("big-topic"))
        with pytest.raises(MessageTooLarge):
            await broker.publish_batch("small", "x" * MIB, queue="big")
        assert sum((await counts(aws, "big")).values()) == 0


async def test_a_batch_over_the_limit_in_total_is_split(aws: Aws) -> None:
    """SQS limits a batch like a message: three of 400 KiB take two calls."""
    broker = broker_on(aws)
    broker.publisher("heavy")
    async with started(broker):
        await broker.publish_batch(*["x" * 400_000] * 3, queue="heavy")
        assert await aws.calls("sqs", "SendMessageBatch") == 2
        assert (await counts(aws, "heavy"))["visible"] == 3


async def test_a_delay_keeps_a_message_back(aws: Aws) -> None:
    """`delay` is SQS's own, per message."""
    broker = broker_on(aws)
    broker.publisher("later")
    async with started(broker):
        await broker.publish("x", "later", delay=600)
        await broker.publish_batch("y", queue="later", delay=600)
        assert await counts(aws, "later") == {"visible": 0, "held": 0, "delayed": 2}


async def test_fifo_deduplicates(aws: Aws) -> None:
    """Two sends with one deduplication id are one message, in queues and through topics."""
    broker = broker_on(aws)
    topic = SNSTopic("t", fifo=True)
    broker.publisher(SQSQueue("q", fifo=True, topics=[TopicLink(topic)], content_based_deduplication=True))
    async with started(broker):
        for _ in range(2):
            await broker.publish("x", "q.fifo", group_id="g", deduplication_id="d")
            await broker.publish("y", topic=topic, group_id="g", deduplication_id="e")
        assert sorted(message.body for message in await messages_in(aws, "q.fifo")) == [b"x", b"y"]


async def test_destinations_may_be_urls_and_arns(aws: Aws) -> None:
    """Infrastructure hands out URLs and ARNs; all name the same."""
    broker = broker_on(aws)
    broker.publisher(SQSQueue("named", topics=[TopicLink("news")]))
    async with started(broker):
        async with aws.client("sqs") as sqs:
            url = (await sqs.get_queue_url(QueueName="named"))["QueueUrl"]
        await broker.publish("by url", url)
        await broker.publish("by queue arn", f"arn:aws:sqs:{aws.region}:{aws.access_key_id}:named")
        await broker.publish("by topic arn", f"arn:aws:sns:{aws.region}:{aws.access_key_id}:news")
        assert len(await messages_in(aws, "named")) == 3


async def test_misuse_is_told(aws: Aws) -> None:
    """What cannot work is refused with a reason instead of being dropped silently."""
    broker = broker_on(aws)
    with pytest.raises(IncorrectState):
        await broker.publish("x", "q")
    async with started(broker):
        with pytest.raises(SetupError, match="either a queue or a topic"):
            await broker.publish("x")
        with pytest.raises(SetupError, match="either a queue or a topic"):
            await broker.publish("x", "q", topic="t")
        with pytest.raises(SetupError, match="cannot delay"):
            await broker.publish("x", topic="t", delay=1)
        with pytest.raises(SetupError, match="subject"):
            await broker.publish("x", "q", subject="s")
        with pytest.raises(SetupError, match="reply_queue"):
            await broker.request("x", "q")
        assert await broker.publish_batch(queue="q") == []
