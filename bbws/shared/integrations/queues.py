"""How much waits in the queues."""

from collections.abc import Awaitable, Callable
from typing import Any

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class Queues:
    def __init__(self, client: Callable[[], Awaitable[Any]]) -> None:
        self._client = client
        self._urls: dict[str, str] = {}

    async def backlog(self, name: str) -> int:
        """Messages waiting, delayed or in somebody's hands; approximate, as SQS counts."""
        sqs = await self._client()
        if name not in self._urls:
            self._urls[name] = (await sqs.get_queue_url(QueueName=name))["QueueUrl"]
        answer = await sqs.get_queue_attributes(QueueUrl=self._urls[name], AttributeNames=list(_COUNTS))
        return sum(int(answer["Attributes"][count]) for count in _COUNTS)
