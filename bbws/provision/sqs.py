"""Queues, each with its dead-letter queue and its subscription."""

from collections.abc import Mapping
from typing import Any

from bbws.provision import requests as aws
from bbws.provision import sns
from bbws.provision.differences import attribute_differences
from bbws.shared.aws_errors import find_or_none
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.topology import Queue, Topology


async def make_queue(clients: AwsClients, topology: Topology, queue: Queue) -> None:
    sqs = await clients.get("sqs")
    url, dead_letter_url = await made_queue(sqs, queue.name), await made_queue(sqs, queue.dead_letter_name)
    arn, dead_letters = await queue_arn(sqs, url), await queue_arn(sqs, dead_letter_url)
    attributes = aws.queue_attributes(queue, arn, dead_letters, _rule_arns(topology, queue, arn))
    await sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    attributes = aws.dead_letter_attributes(queue, dead_letters, arn)
    await sqs.set_queue_attributes(QueueUrl=dead_letter_url, Attributes=attributes)
    if queue.topic:
        await sns.subscribe(clients, queue, queue.topic, arn, dead_letters)


async def queue_differences(clients: AwsClients, topology: Topology, queue: Queue) -> list[str]:
    sqs = await clients.get("sqs")
    standing, dead = await find_queue(sqs, queue.name), await find_queue(sqs, queue.dead_letter_name)
    if standing is None or dead is None:
        return [f"queue {queue.name if standing is None else queue.dead_letter_name} is missing"]
    arn, dead_letters = standing["QueueArn"], dead["QueueArn"]
    wanted = aws.queue_attributes(queue, arn, dead_letters, _rule_arns(topology, queue, arn))
    found = attribute_differences(f"queue {queue.name}", standing, wanted)
    wanted = aws.dead_letter_attributes(queue, dead_letters, arn)
    found += attribute_differences(f"queue {queue.dead_letter_name}", dead, wanted)
    if queue.topic:
        found += await sns.subscription_differences(clients, queue, queue.topic, arn, dead_letters)
    return found


async def made_queue(sqs: Any, name: str) -> str:
    """The address of a queue that exists now; its attributes are left alone."""
    return await _queue_url(sqs, name) or str((await sqs.create_queue(QueueName=name))["QueueUrl"])


async def find_queue(sqs: Any, name: str) -> Mapping[str, str] | None:
    """The attributes of a queue, where there is one."""
    url = await _queue_url(sqs, name)
    if url is None:
        return None
    answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    attributes: dict[str, str] = answer["Attributes"]
    return attributes


async def queue_arn(sqs: Any, url: str) -> str:
    answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn: str = answer["Attributes"]["QueueArn"]
    return arn


async def _queue_url(sqs: Any, name: str) -> str | None:
    answer = await find_or_none(sqs.get_queue_url, QueueName=name)
    return answer["QueueUrl"] if answer else None


def _rule_arns(topology: Topology, queue: Queue, arn: str) -> list[str]:
    return [aws.rule_arn(arn, topology.bus, rule.name) for rule in topology.rules_into(queue.name)]
