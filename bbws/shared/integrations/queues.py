"""How much waits in the queues."""

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
        if name not in self._urls:
            self._urls[name] = (await self._call("get_queue_url", QueueName=name))["QueueUrl"]
        answer = await self._call("get_queue_attributes", QueueUrl=self._urls[name], AttributeNames=list(_COUNTS))
        return sum(int(answer["Attributes"][count]) for count in _COUNTS)

    async def _call(self, operation: str, **request: Any) -> Any:
        with reaching("sqs"):
            return await getattr(await self._client(), operation)(**request)
