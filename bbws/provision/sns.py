"""Topics, and the subscriptions of queues to them."""

from collections.abc import Mapping
from typing import Any

from bbws.provision import requests as aws
from bbws.provision.differences import attribute_differences
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.topology import Queue


async def make_topic(clients: AwsClients, name: str) -> None:
    sns = await clients.get("sns")
    arn = (await sns.create_topic(Name=name))["TopicArn"]
    await sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=aws.topic_policy(arn))


async def topic_differences(clients: AwsClients, name: str) -> list[str]:
    sns = await clients.get("sns")
    arn = await topic_arn(sns, name)
    if arn is None:
        return [f"topic {name} is missing"]
    standing = (await sns.get_topic_attributes(TopicArn=arn))["Attributes"]
    return attribute_differences(f"topic {name}", standing, {"Policy": aws.topic_policy(arn)})


async def topic_arn(sns: Any, name: str) -> str | None:
    """By listing: CreateTopic would answer it too, but would also create."""
    async for page in sns.get_paginator("list_topics").paginate():
        for topic in page["Topics"]:
            arn: str = topic["TopicArn"]
            if arn.endswith(f":{name}"):
                return arn
    return None


async def subscribe(clients: AwsClients, queue: Queue, topic: str, queue_arn: str, dead_letter_arn: str) -> None:
    sns = await clients.get("sns")
    arn = await topic_arn(sns, topic)
    answer = await sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, ReturnSubscriptionArn=True)
    for name, value in aws.subscription_attributes(queue, dead_letter_arn).items():
        await sns.set_subscription_attributes(
            SubscriptionArn=answer["SubscriptionArn"], AttributeName=name, AttributeValue=value
        )


async def subscription_differences(
    clients: AwsClients, queue: Queue, topic: str, queue_arn: str, dead_letter_arn: str
) -> list[str]:
    sns = await clients.get("sns")
    arn = await topic_arn(sns, topic)
    if arn is None:
        return [f"topic {topic} is missing"]
    standing = await _standing_subscription(sns, arn, queue_arn)
    if standing is None:
        return [f"queue {queue.name} is not subscribed to topic {topic}"]
    wanted = aws.subscription_attributes(queue, dead_letter_arn)
    return attribute_differences(f"subscription of {queue.name}", standing, wanted)


async def _standing_subscription(sns: Any, topic: str, queue_arn: str) -> Mapping[str, str] | None:
    """The attributes of the queue's subscription, where it has one."""
    async for page in sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic):
        for subscription in page["Subscriptions"]:
            if subscription["Endpoint"] == queue_arn:
                answer = await sns.get_subscription_attributes(SubscriptionArn=subscription["SubscriptionArn"])
                attributes: dict[str, str] = answer["Attributes"]
                return attributes
    return None
