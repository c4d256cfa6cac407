"""Queues as AWS shows them, without our own reading of them."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Self

from bbws.shared.integrations.aws import AwsClients
from bbws.shared.sqs import dead_letters as story
from bbws.shared.sqs import wire

QUEUE = "order-record"
OUT_OF_STOCK = "Conflict: out of stock"
STORY = {story.REASON: OUT_OF_STOCK, story.HANDLER: "record", story.RECEIVE_COUNT: "3", story.MESSAGE_ID: "m-1"}


class Queue:
    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url

    @classmethod
    async def named(cls, clients: AwsClients, name: str) -> Self:
        sqs = await clients.get("sqs")
        return cls(sqs, (await sqs.get_queue_url(QueueName=name))["QueueUrl"])

    async def send(
        self, body: str, texts: Mapping[str, str] | None = None, typed: Mapping[str, Any] | None = None
    ) -> None:
        packed = wire.pack(texts or {}, typed)
        await self._sqs.send_message(QueueUrl=self._url, MessageBody=body, MessageAttributes=packed)

    async def depth(self) -> int:
        """How many are visible, without receiving them: too many receives make dead letters of them."""
        name = "ApproximateNumberOfMessages"
        answer = await self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    async def bodies(self) -> list[str]:
        return sorted(message["Body"] for message in await self.messages())

    async def messages(self) -> list[dict[str, Any]]:
        """All that are visible now; they stay so."""
        found: dict[str, dict[str, Any]] = {}
        receive = partial(self._sqs.receive_message, QueueUrl=self._url, MaxNumberOfMessages=10)
        while received := (await receive(MessageAttributeNames=["All"])).get("Messages"):
            found |= {message["MessageId"]: message for message in received}
        for message in found.values():
            await self._sqs.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return list(found.values())
