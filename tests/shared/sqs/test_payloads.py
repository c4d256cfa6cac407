"""Bodies over the limit, in S3; messages near the limit, in batches; fields of single messages of a batch."""

import asyncio
import json
from typing import Any

import pytest
from faststream.exceptions import RejectMessage

from bbws.shared.sqs import (
    MessageTooLarge,
    PayloadBucket,
    SNSTopic,
    SQSMessage,
    SQSQueue,
    SQSResponse,
    TopicLink,
)
from bbws.shared.sqs.limits import MAX_SQS_MESSAGE_BYTES
from tests.shared.sqs.worlds import Emulated, Memory, World, broker_on, counts, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

LARGE = "é" * MAX_SQS_MESSAGE_BYTES
FAST: dict[str, Any] = {"wait_time": 0}


@pytest.fixture
async def bucket(aws: Aws) -> str:
    name = aws.unique("payloads")
    async with aws.client("s3") as s3:
        await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})
    return name


async def keys(aws: Aws, bucket: str) -> list[str]:
    async with aws.client("s3") as s3:
        return [entry["Key"] for entry in (await s3.list_objects_v2(Bucket=bucket)).get("Contents", [])]


@pytest.mark.parametrize("kind", ["memory", "emulator"])
@pytest.mark.parametrize("raw", [True, False])
async def test_a_large_body_arrives_by_queue_and_topic(
    kind: str, raw: bool, aws: Aws, bucket: str, request: pytest.FixtureRequest
) -> None:
    """Users see body and headers as they were published, binary ones too, however many there are."""
    world: World = Memory() if kind == "memory" else Emulated(aws)
    broker, seen = world.broker(payload_bucket=bucket), []
    headers = {f"h{i}": str(i) for i in range(12)}

    @broker.subscriber(SQSQueue("large", topics=[TopicLink(SNSTopic("events"), raw=raw)]), **FAST)
    async def handle(message: SQSMessage) -> None:
        seen.append(message)

    async with world.running(broker):
        await broker.publish(LARGE, "large", headers=headers)
        await broker.publish(b"\xff" * 300_000, topic="events", headers={"a": "1"})
        await world.until(lambda: len(seen) == 2, "both arrived")
        await world.emptied("large")
    by_size = sorted(seen, key=lambda message: len(message.body))
    assert by_size[0].body == b"\xff" * 300_000
    assert by_size[1].body == LARGE.encode()
    assert headers.items() <= by_size[1].headers.items()


async def test_the_format_is_that_of_the_extended_client(aws: Aws, bucket: str) -> None:
    """Java's library reads what we send: pointer, attribute and object have its form."""
    async with (
        started(broker_on(aws, payload_bucket=PayloadBucket(bucket, prefix="orders/"))) as broker,
        aws.client("sqs") as sqs,
    ):
        broker.publisher("wire")
        await broker.start()
        await broker.publish(LARGE, "wire")
        url = (await sqs.get_queue_url(QueueName="wire"))["QueueUrl"]
        answer = await sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])
    [message] = answer["Messages"]
    [key] = await keys(aws, bucket)
    assert key.startswith("orders/")
    assert json.loads(message["Body"]) == [
        "software.amazon.payloadoffloading.PayloadS3Pointer",
        {"s3BucketName": bucket, "s3Key": key},
    ]
    size = message["MessageAttributes"]["ExtendedPayloadSize"]
    assert (size["DataType"], size["StringValue"]) == ("Number", str(len(LARGE.encode())))
    async with aws.client("s3") as s3:
        stored = await s3.get_object(Bucket=bucket, Key=key)
        assert await stored["Body"].read() == LARGE.encode()


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("ExtendedPayloadSize", "software.amazon.payloadoffloading.PayloadS3Pointer"),
        ("SQSLargePayloadSize", "com.amazon.sqs.javamessaging.MessageS3Pointer"),
    ],
)
@pytest.mark.parametrize("delete", [True, False])
async def test_what_the_extended_client_sent_is_read(
    aws: Aws, bucket: str, attribute: str, kind: str, delete: bool
) -> None:
    """We read what Java's library sent, the old form too; the object goes with its message when that is wanted."""
    broker, seen = broker_on(aws, payload_bucket=PayloadBucket(bucket, delete=delete)), []

    @broker.subscriber("java", **FAST)
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, message.body))

    async with started(broker), aws.client("sqs") as sqs, aws.client("s3") as s3:
        await s3.put_object(Bucket=bucket, Key="k-1", Body=b" 42 ")
        url = (await sqs.get_queue_url(QueueName="java"))["QueueUrl"]
        await sqs.send_message(
            QueueUrl=url,
            MessageBody=json.dumps([kind, {"s3BucketName": bucket, "s3Key": "k-1"}]),
            MessageAttributes={attribute: {"DataType": "Number", "StringValue": "4"}},
        )
        await eventually(lambda: seen, what="it arrived")
        await broker.stop()
    assert seen == [(42, b" 42 ")]
    assert await keys(aws, bucket) == ([] if delete else ["k-1"])


async def test_a_dead_letter_keeps_its_object(aws: Aws, bucket: str) -> None:
    """The copy is a pointer as well: a redrive must find the body."""
    broker = broker_on(aws, payload_bucket=PayloadBucket(bucket, delete=True))
    queue = SQSQueue("dying", dead_letter="dying-dlq", max_receive_count=3)

    @broker.subscriber(queue, **FAST)
    async def handle(message: SQSMessage) -> None:
        raise RejectMessage(reason="no")

    letters = broker.subscriber("dying-dlq", persistent=True)
    async with started(broker):
        await broker.publish(LARGE, "dying", headers={f"h{i}": "x" for i in range(12)})
        letter = await letters.get_one(timeout=10)
        assert letter is not None
        assert letter.body == LARGE.encode()
        assert letter.headers["dead-letter-reason"] == "no"
        await letter.ack()
    assert await keys(aws, bucket) == []


async def test_a_pointer_to_another_bucket_is_not_followed(aws: Aws, bucket: str) -> None:
    """Who may send a message must not choose what the consumer's role reads."""
    broker = broker_on(aws, payload_bucket=bucket)
    queue = SQSQueue("guarded", dead_letter="guarded-dlq", max_receive_count=1)

    @broker.subscriber(queue, **FAST)
    async def handle(message: SQSMessage) -> None: ...

    async def buried() -> bool:
        return (await counts(aws, "guarded-dlq"))["visible"] == 1

    secrets = aws.unique("secrets")
    async with started(broker), aws.client("sqs") as sqs, aws.client("s3") as s3:
        await s3.create_bucket(Bucket=secrets, CreateBucketConfiguration={"LocationConstraint": aws.region})
        await s3.put_object(Bucket=secrets, Key="k", Body=b"42")
        url = (await sqs.get_queue_url(QueueName="guarded"))["QueueUrl"]
        place = {"s3BucketName": secrets, "s3Key": "k"}
        await sqs.send_message(
            QueueUrl=url,
            MessageBody=json.dumps(["software.amazon.payloadoffloading.PayloadS3Pointer", place]),
            MessageAttributes={"ExtendedPayloadSize": {"DataType": "Number", "StringValue": "4"}},
        )
        await eventually(buried, what="it is buried")


async def test_without_a_bucket_large_bodies_are_refused(world: World) -> None:
    """The error comes before anything is sent, and says what would help."""
    broker = world.broker()
    broker.publisher("small")
    async with world.running(broker):
        with pytest.raises(MessageTooLarge, match="payload_bucket"):
            await broker.publish(LARGE, "small")
        assert await world.depth("small") == 0


# aiohttp warns of bodies over 1 MiB, which a full call of SQS is in JSON.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_batches_of_mixed_sizes_near_the_limit_arrive(world: World) -> None:
    """The limit is one for the whole call: what fits goes together, nothing is refused, order of ids is kept."""
    broker, sizes = world.broker(), {}
    wanted = [10, MAX_SQS_MESSAGE_BYTES - 200, 10, 500_000, 500_000, 500_000, 10, MAX_SQS_MESSAGE_BYTES - 200]

    @broker.subscriber("mixed", max_workers=8, **FAST)
    async def handle(message: SQSMessage) -> None:
        sizes[message.message_id] = len(message.body)

    async with world.running(broker):
        ids = await broker.publish_batch(*("x" * size for size in wanted), queue="mixed")
        await world.until(lambda: len(sizes) == len(wanted), "all arrived")
    assert [sizes[message_id] for message_id in ids] == wanted


async def test_messages_of_a_batch_have_fields_of_their_own(world: World) -> None:
    """FIFO needs a deduplication id for each; a repeat of one must not swallow the others."""
    broker, seen = world.broker(), []
    queue = SQSQueue("each", fifo=True)

    @broker.subscriber(queue, **FAST)
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, message.group_id, message.headers.get("own"), message.headers["all"]))

    def numbered(number: int, group: str) -> SQSResponse:
        return SQSResponse(number, group_id=group, deduplication_id=f"d{number}", headers={"own": f"o{number}"})

    async with world.running(broker):
        await broker.publish_batch(numbered(1, "a"), numbered(2, "b"), queue=queue, headers={"all": "x"})
        await broker.publish_batch(numbered(2, "b"), numbered(3, "b"), queue=queue, headers={"all": "x"})
        await world.until(lambda: len(seen) == 3, "all arrived")
        await world.emptied("each.fifo")
    assert sorted(seen) == [(1, "a", "o1", "x"), (2, "b", "o2", "x"), (3, "b", "o3", "x")]


async def test_delays_of_single_messages(aws: Aws) -> None:
    """A timer belongs to a message, also in a batch."""
    async with started(broker_on(aws)) as broker:
        broker.publisher("timers")
        await broker.start()
        await broker.publish_batch("now", SQSResponse("later", delay=600), queue="timers")
        await broker.publish("later", "timers", delay=1.5)
        assert await counts(aws, "timers") == {"visible": 1, "held": 0, "delayed": 2}


async def test_group_ids_of_fair_queues_hold_nothing_back(world: World) -> None:
    """On a standard queue a group is a tenant, for fairness: its messages go side by side."""
    broker, both, seen = world.broker(), asyncio.Event(), []

    @broker.subscriber("fair", max_workers=2, **FAST)
    async def handle(number: int, message: SQSMessage) -> None:
        seen.append((number, message.group_id))
        if len(seen) == 2:
            both.set()
        if isinstance(world, Emulated):
            await both.wait()

    async with world.running(broker):
        await broker.publish_batch(1, 2, queue="fair", group_id="tenant-1")
        await world.until(lambda: len(seen) == 2, "both are in work")
        await world.emptied("fair")
    assert sorted(seen) == [(1, "tenant-1"), (2, "tenant-1")]
