"""What `declare=True` makes. On AWS over HTTP only."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bbws.shared.sqs import SNSTopic, SQSQueue, SQSRouter, TopicLink
from bbws.shared.sqs.declare import Declarer, queue_policy
from tests.shared.sqs.worlds import broker_on, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

POLICY = {"type": ["PAID", {"prefix": "SITE_"}]}
QUEUE = SQSQueue(
    "orders",
    visibility_timeout=77,
    retention=3600,
    delay=1,
    max_receive_count=4,
    dead_letter=SQSQueue("orders-dlq", retention=86_400),
    topics=[TopicLink(SNSTopic("events"), filter_policy=POLICY, filter_scope="MessageBody")],
    tags={"team": "shop"},
)


async def test_everything_named_is_made_and_made_once(aws: Aws) -> None:
    """Attributes, redrive policy, queue policy, subscription and its filter are there, also after a second start."""
    for _ in range(2):
        broker = broker_on(aws)
        broker.publisher(QUEUE)
        broker.publisher(topic="alone")
        async with started(broker):
            pass
    async with aws.client("sqs") as sqs, aws.client("sns") as sns:
        url = (await sqs.get_queue_url(QueueName="orders"))["QueueUrl"]
        attributes = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
        tags = (await sqs.list_queue_tags(QueueUrl=url))["Tags"]
        letters = (await sqs.get_queue_url(QueueName="orders-dlq"))["QueueUrl"]
        retention = (await sqs.get_queue_attributes(QueueUrl=letters, AttributeNames=["All"]))["Attributes"]
        topics = [topic["TopicArn"] for topic in (await sns.list_topics())["Topics"]]
        [subscription] = (await sns.list_subscriptions())["Subscriptions"]
        details = await sns.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])
    assert (attributes["VisibilityTimeout"], attributes["DelaySeconds"]) == ("77", "1")
    assert retention["MessageRetentionPeriod"] == "86400"
    redrive = json.loads(attributes["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(":orders-dlq")
    assert int(redrive["maxReceiveCount"]) == 4
    assert tags == {"team": "shop"}
    assert sorted(arn.rsplit(":", 1)[1] for arn in topics) == ["alone", "events"]
    [statement] = json.loads(attributes["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
    assert statement["Condition"]["ArnEquals"]["aws:SourceArn"] == [arn for arn in topics if arn.endswith(":events")]
    assert json.loads(details["Attributes"]["FilterPolicy"]) == POLICY
    assert details["Attributes"]["RawMessageDelivery"] == "true"


async def test_changed_settings_reach_a_queue_that_exists(aws: Aws) -> None:
    """CreateQueue refuses a name with other attributes; declaring changes the queue instead."""
    for timeout in (10, 20):
        broker = broker_on(aws)
        broker.publisher(SQSQueue("changing", visibility_timeout=timeout))
        async with started(broker):
            pass
    async with aws.client("sqs") as sqs:
        url = (await sqs.get_queue_url(QueueName="changing"))["QueueUrl"]
        attributes = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
    assert attributes["VisibilityTimeout"] == "20"


async def test_a_queue_without_topics_keeps_its_policy(aws: Aws) -> None:
    """Whoever let others send to it by hand must not find them locked out after a start."""
    policy = queue_policy("arn:aws:sqs:af-south-1:1:own", ["arn:aws:sns:af-south-1:1:by-hand"])
    async with aws.client("sqs") as sqs:
        url = (await sqs.create_queue(QueueName="own", Attributes={"Policy": policy}))["QueueUrl"]
        broker = broker_on(aws)
        broker.publisher(SQSQueue("own", visibility_timeout=5))
        async with started(broker):
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    assert json.loads(answer["Attributes"]["Policy"]) == json.loads(policy)
    assert answer["Attributes"]["VisibilityTimeout"] == "5"


async def test_that_a_queue_is_fifo_is_not_set_again() -> None:
    """SQS refuses to change it, even to what it is; emulators do not."""
    changed: list[dict[str, str]] = []

    class Exists:
        """A queue of every name."""

        @property
        def sqs(self) -> "Exists":
            return self

        async def queue_url(self, name: str, account: str | None) -> str:
            return f"https://sqs.example/{name}"

        async def set_queue_attributes(self, *, QueueUrl: str, Attributes: dict[str, str]) -> None:  # noqa: N803
            changed.append(Attributes)

        async def queue_attributes(self, queue_url: str) -> dict[str, str]:
            return {"QueueArn": "arn"}

    client: Any = Exists()
    await Declarer(client, by_default=True).declare([(SQSQueue("lane", fifo=True, visibility_timeout=5), "")])
    assert changed == [{"VisibilityTimeout": "5", "ContentBasedDeduplication": "false"}]


async def test_nothing_is_made_unless_asked(aws: Aws) -> None:
    """In production the infrastructure is declared elsewhere; a queue may say otherwise for itself."""
    broker = broker_on(aws, declare=False)
    broker.publisher("not-made")
    broker.publisher(SQSQueue("made", declare=True))
    declaring = broker_on(aws)
    declaring.publisher(SQSQueue("not-made-either", declare=False))
    async with started(broker), started(declaring), aws.client("sqs") as sqs:
        urls = (await sqs.list_queues()).get("QueueUrls", [])
    assert [url.rsplit("/", 1)[1] for url in urls] == ["made"]


def test_the_queue_policy_names_its_topics_alone() -> None:
    """Anybody's topic could fill a queue that lets all of SNS in."""
    [statement] = json.loads(queue_policy("arn:q", ["arn:t"]))["Statement"]
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Resource"] == "arn:q"
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": ["arn:t"]}}


async def test_what_is_registered_later_is_made_too(aws: Aws) -> None:
    """Start-up and registration afterwards are one road: subscribers, publishers, and those of a router."""
    broker, router, seen = broker_on(aws), SQSRouter("r-"), []

    async def note(body: str) -> None:
        seen.append(body)

    @router.subscriber(SQSQueue("routed", dead_letter="routed-dlq", topics=[TopicLink("news")]), wait_time=0)
    async def routed(body: str) -> None:
        seen.append(body)

    async with started(broker):
        subscriber = broker.subscriber("late", wait_time=0)
        subscriber(note)
        await subscriber.start()
        await broker.publish("to the queue", "late")
        broker.include_router(router)
        await broker.start()
        await broker.publish("to the router", topic="r-news")
        await broker.publisher(SQSQueue("late-lane", fifo=True)).publish("x", group_id="g", deduplication_id="d")
        await broker.publisher(topic="late-topic").publish("x")
        await eventually(lambda: len(seen) == 2, what="both subscribers receive")
    async with aws.client("sqs") as sqs:
        urls = (await sqs.list_queues())["QueueUrls"]
    assert {url.rsplit("/", 1)[1] for url in urls} == {"late", "late-lane.fifo", "r-routed", "r-routed-dlq"}
    assert sorted(seen) == ["to the queue", "to the router"]


async def test_nothing_is_made_later_unless_asked(aws: Aws) -> None:
    """In production a publisher that comes late meets the queue that is there, or an error."""
    broker = broker_on(aws, declare=False)
    async with started(broker):
        with pytest.raises(ClientError, match="does not exist"):
            await broker.publisher("not-made").publish("x")


async def test_each_is_made_once(aws: Aws) -> None:
    """A publish costs one call, with `declare=True` too."""
    made: list[str] = []

    class Counting(Declarer):
        async def _make(self, destination: SQSQueue | SNSTopic, prefix: str) -> None:
            made.append(destination.name)
            await super()._make(destination, prefix)

    broker = broker_on(aws)
    early = broker.publisher("early")
    async with started(broker):
        config = broker.config.broker_config
        config.connect(config.client, declarer=Counting(config.client, by_default=True))  # type: ignore[arg-type]
        late = broker.publisher("late")
        for publisher in (early, late, early, late, broker.publisher("late")):
            await publisher.publish("x")
        await broker.start()
    assert made == ["early", "late"]
