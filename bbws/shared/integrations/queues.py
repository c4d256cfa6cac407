"""Queues by their names, for what is no consumer: how much waits in them, and calls of SQS."""

from collections.abc import Awaitable, Callable
from typing import Any

from bbws.shared.aws_errors import reaching

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
        """Messages waiting, delayed or in somebody's hands; approximate, as SQS counts. Raises Unavailable."""
        answer = await self.call("get_queue_attributes", name, AttributeNames=list(_COUNTS))
        return sum(int(answer["Attributes"][count]) for count in _COUNTS)

    async def call(self, operation: str, name: str, **request: Any) -> Any:
        """SQS's answer to one operation on a queue. Raises Unavailable."""
        with reaching("sqs"):
            sqs = await self._client()
            if name not in self._urls:
                self._urls[name] = (await sqs.get_queue_url(QueueName=name))["QueueUrl"]
            return await getattr(sqs, operation)(QueueUrl=self._urls[name], **request)
