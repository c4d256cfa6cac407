"""Makes queues, dead-letter queues, topics, subscriptions and the queue policies that let SNS deliver.

For development and tests; in production the infrastructure is declared elsewhere. Doing it again changes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from .client import BotocoreClient, is_queue_gone
from .schemas import DEFAULT_MAX_RECEIVE_COUNT, SNSTopic, SQSQueue, TopicLink, is_plain_name, prefixed


class Declarer:
    """Makes what is registered, at start or later, each once. Its own `declare` wins over `by_default`."""

    def __init__(self, client: BotocoreClient, *, by_default: bool) -> None:
        self._client = client
        self._by_default = by_default
        self._made: list[tuple[SQSQueue | SNSTopic, str]] = []

    async def declare(self, destinations: Sequence[tuple[SQSQueue | SNSTopic, str]]) -> None:
        """What these (each with its prefix) describe exists."""
        for destination, prefix in destinations:
            if self._is_wanted(destination) and (destination, prefix) not in self._made:
                await self._make(destination, prefix)
                self._made.append((destination, prefix))

    def _is_wanted(self, destination: SQSQueue | SNSTopic) -> bool:
        wanted = self._by_default if destination.declare is None else destination.declare
        return wanted and is_plain_name(destination.name)

    async def _make(self, destination: SQSQueue | SNSTopic, prefix: str) -> None:
        if isinstance(destination, SNSTopic):
            await _declare_topic(self._client, destination, prefix)
        else:
            await _declare_queue(self._client, destination, prefix)


async def _declare_queue(client: BotocoreClient, queue: SQSQueue, prefix: str) -> str:
    """The queue's ARN."""
    attributes = queue_attributes(queue)
    if queue.dead_letter_queue is not None:
        attributes["RedrivePolicy"] = await _redrive_policy(client, queue, queue.dead_letter_queue, prefix)
    links = [(link, await _topic_arn(client, link.target, prefix)) for link in queue.topics]
    url = await _create_queue(client, prefixed(queue.name, prefix), attributes, queue.tags)
    arn = (await client.queue_attributes(url))["QueueArn"]
    if links:
        policy = queue_policy(arn, [topic_arn for _, topic_arn in links])
        await client.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    for link, topic_arn in links:
        await _subscribe(client, link, topic_arn, arn)
    return arn


async def _redrive_policy(client: BotocoreClient, queue: SQSQueue, dead_letter: SQSQueue, prefix: str) -> str:
    if dead_letter.name.startswith("arn:"):
        arn = dead_letter.name
    elif is_plain_name(dead_letter.name):
        arn = await _declare_queue(client, dead_letter, prefix)
    else:
        arn = (await client.queue_attributes(dead_letter.name))["QueueArn"]
    count = queue.max_receive_count or DEFAULT_MAX_RECEIVE_COUNT
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": count})


def queue_attributes(queue: SQSQueue) -> dict[str, str]:
    """Attributes of CreateQueue, without policies; settings of None stay AWS's."""
    given = {
        "VisibilityTimeout": queue.visibility_timeout,
        "DelaySeconds": queue.delay,
        "MessageRetentionPeriod": queue.retention,
    }
    attributes = {name: str(value) for name, value in given.items() if value is not None}
    if queue.fifo:
        attributes["FifoQueue"] = "true"
        attributes["ContentBasedDeduplication"] = str(queue.content_based_deduplication).lower()
    return {**attributes, **queue.attributes}


async def _create_queue(client: BotocoreClient, name: str, attributes: dict[str, str], tags: Mapping[str, str]) -> str:
    """The URL. CreateQueue refuses a name that exists with other attributes, so an existing queue is changed."""
    try:
        url = await client.queue_url(name, None)
    except ClientError as error:
        if not is_queue_gone(error):
            raise
        created = await client.sqs.create_queue(QueueName=name, Attributes=attributes, tags=dict(tags))
        return str(created["QueueUrl"])
    if changeable := {key: value for key, value in attributes.items() if key != "FifoQueue"}:
        await client.sqs.set_queue_attributes(QueueUrl=url, Attributes=changeable)
    return url


def queue_policy(queue_arn: str, topic_arns: Sequence[str]) -> str:
    """Lets SNS deliver from these topics and no others."""
    statement = {
        "Sid": "DeliveryFromTopics",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": list(topic_arns)}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


async def _topic_arn(client: BotocoreClient, topic: SNSTopic, prefix: str) -> str:
    return topic.name if not is_plain_name(topic.name) else await _declare_topic(client, topic, prefix)


async def _declare_topic(client: BotocoreClient, topic: SNSTopic, prefix: str) -> str:
    attributes = {"FifoTopic": "true"} if topic.fifo else {}
    created = await client.sns.create_topic(Name=prefixed(topic.name, prefix), Attributes=attributes)
    return str(created["TopicArn"])


async def _subscribe(client: BotocoreClient, link: TopicLink, topic_arn: str, queue_arn: str) -> None:
    subscribed = await client.sns.subscribe(
        TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, ReturnSubscriptionArn=True
    )
    # Subscribe ignores the attributes of a subscription that exists: set them, new or not.
    for name, value in _subscription_attributes(link).items():
        await client.sns.set_subscription_attributes(
            SubscriptionArn=subscribed["SubscriptionArn"], AttributeName=name, AttributeValue=value
        )


def _subscription_attributes(link: TopicLink) -> dict[str, Any]:
    attributes = {"RawMessageDelivery": str(link.raw).lower()}
    if link.filter_policy is None:
        return attributes
    return {**attributes, "FilterPolicyScope": link.filter_scope, "FilterPolicy": json.dumps(link.filter_policy)}
