"""Resolves the names in the code to AWS's URLs and ARNs, each asked once."""

import json
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError

from .client import Client
from .schemas import is_plain_name

_DEFAULT_VISIBILITY_S = 30
_ARN_PARTS = 6


class ForeignQueue(BotoCoreError):  # type: ignore[misc]
    """An ARN that this client cannot reach: asked by its name alone, another queue could answer."""

    fmt = "{arn} is no queue in {region}, where this broker works"


@dataclass(frozen=True)
class QueueFacts:
    """What the service knows about a queue."""

    url: str
    visibility_timeout_s: int
    max_receive_count: int | None
    dead_letter_arn: str | None

    @classmethod
    def of(cls, url: str, attributes: dict[str, str]) -> "QueueFacts":
        """From the answer of GetQueueAttributes."""
        redrive = json.loads(attributes.get("RedrivePolicy") or "{}")
        count = redrive.get("maxReceiveCount")
        return cls(
            url=url,
            visibility_timeout_s=int(attributes.get("VisibilityTimeout", _DEFAULT_VISIBILITY_S)),
            max_receive_count=None if count is None else int(count),
            dead_letter_arn=redrive.get("deadLetterTargetArn"),
        )


class Resolver:
    """Answers of the service by name, kept until `forget`; raises what the client raises."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._urls: dict[str, str] = {}
        self._arns: dict[str, str] = {}

    async def queue_url(self, queue: str) -> str:
        """URL of a queue given by name, URL or ARN."""
        if queue.startswith(("http", "memory:")):
            return queue
        if queue not in self._urls:
            self._urls[queue] = await self._look_up(queue)
        return self._urls[queue]

    async def _look_up(self, queue: str) -> str:
        if not queue.startswith("arn:"):
            return await self._client.queue_url(queue, None)
        parts = queue.split(":")
        here = self._client.region
        if len(parts) != _ARN_PARTS or parts[2] != "sqs" or (here and parts[3] != here):
            raise ForeignQueue(arn=queue, region=here)
        *_, account, name = parts
        return await self._client.queue_url(name, account)

    async def facts(self, queue: str) -> QueueFacts:
        """Attributes of a queue as they are now."""
        url = await self.queue_url(queue)
        return QueueFacts.of(url, await self._client.queue_attributes(url))

    async def topic_arn(self, topic: str) -> str:
        """ARN of a topic given by name or ARN."""
        if not is_plain_name(topic):
            return topic
        if topic not in self._arns:
            self._arns[topic] = await self._client.topic_arn(topic)
        return self._arns[topic]

    def forget(self, queue: str) -> None:
        """Ask again next time: the queue was deleted and may be made anew."""
        self._urls.pop(queue, None)
