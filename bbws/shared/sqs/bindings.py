"""Queues and topics in AsyncAPI's words: bindings sqs 0.2.0 and sns 0.1.0, which AsyncAPI 2.6 and 3.0 know."""

from dataclasses import dataclass
from typing import Any

from faststream.specification.schema.bindings import ChannelBinding
from faststream.specification.schema.bindings import sqs as sqs_bindings

from ._internal import add_asyncapi_binding
from .schemas import DEFAULT_MAX_RECEIVE_COUNT, SNSTopic, SQSQueue, TopicLink, prefixed, short_name

_SQS_VERSION = "0.2.0"
_SNS_VERSION = "0.1.0"
# Names of CreateQueue's attributes that the binding has too.
_ATTRIBUTES = {"DeduplicationScope": "deduplicationScope", "FifoThroughputLimit": "fifoThroughputLimit"}


@dataclass
class TopicBinding(ChannelBinding):
    """FastStream has no binding for SNS."""

    sns: dict[str, Any] | None = None


def queue_binding(queue: SQSQueue, prefix: str) -> ChannelBinding:
    """A queue with what is known of it; an operation needs no binding beside."""
    known = {
        "visibilityTimeout": queue.visibility_timeout,
        "deliveryDelay": queue.delay,
        "messageRetentionPeriod": queue.retention,
        "redrivePolicy": _redrive_policy(queue, prefix),
        "tags": dict(queue.tags) or None,
        "x-sns-subscriptions": [_subscription(link, prefix) for link in queue.topics] or None,
        **{name: queue.attributes.get(attribute) for attribute, name in _ATTRIBUTES.items()},
    }
    described = {"name": short_name(prefixed(queue.name, prefix)), "fifoQueue": queue.fifo}
    described |= {name: value for name, value in known.items() if value is not None}
    return ChannelBinding(sqs=sqs_bindings.ChannelBinding(queue=described, bindingVersion=_SQS_VERSION))


def topic_binding(topic: SNSTopic, prefix: str) -> ChannelBinding:
    """A topic and how it orders."""
    add_asyncapi_binding("sns", TopicBinding)
    described = {
        "name": short_name(prefixed(topic.name, prefix)),
        "ordering": {"type": "FIFO" if topic.fifo else "standard"},
        "bindingVersion": _SNS_VERSION,
    }
    return TopicBinding(sns=described)


def _redrive_policy(queue: SQSQueue, prefix: str) -> dict[str, Any] | None:
    letters = queue.dead_letter_queue
    if letters is None:
        return None
    where = "arn" if letters.name.startswith("arn:") else "name"
    name = letters.name if where == "arn" else short_name(prefixed(letters.name, prefix))
    return {"deadLetterQueue": {where: name}, "maxReceiveCount": queue.max_receive_count or DEFAULT_MAX_RECEIVE_COUNT}


def _subscription(link: TopicLink, prefix: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "topic": short_name(prefixed(link.target.name, prefix)),
        "rawMessageDelivery": link.raw,
    }
    if link.filter_policy is not None:
        described |= {"filterPolicy": link.filter_policy, "filterPolicyScope": link.filter_scope}
    return described
