"""Where the behaviour suite runs: in memory with the test broker, and on an AWS over HTTP with the real one."""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from bbws.shared.integrations.aws import shared_session
from bbws.shared.sqs import SQSBroker, SQSQueue, TestSQSBroker
from bbws.shared.sqs.client import Client
from bbws.shared.sqs.memory import MemoryService
from bbws.shared.sqs.message import ReceivedMessage, SQSMessage
from bbws.shared.sqs.parser import SQSParser
from tests.support.emulator import Aws
from tests.support.waiting import eventually


def broker_on(aws: Aws, **options: Any) -> SQSBroker:
    """A broker in the test's account that makes what it names and logs nothing."""
    settings: dict[str, Any] = {
        "session": shared_session(),
        "declare": True,
        "graceful_timeout": 5.0,
        "logger": None,
    } | options
    return SQSBroker(
        aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
        **settings,
    )


@asynccontextmanager
async def started(broker: SQSBroker) -> AsyncIterator[SQSBroker]:
    """Started, and stopped at the end whatever happens."""
    try:
        await broker.start()
        yield broker
    finally:
        await broker.stop()


async def counts(aws: Aws, queue: str) -> dict[str, int]:
    """Messages of a queue: `visible`, `held` (in flight or given back for later) and `delayed`."""
    async with aws.client("sqs") as sqs:
        url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
        attributes = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
    names = {"visible": "", "held": "NotVisible", "delayed": "Delayed"}
    return {key: int(attributes[f"ApproximateNumberOfMessages{name}"]) for key, name in names.items()}


async def is_empty(aws: Aws, queue: str) -> bool:
    return not any((await counts(aws, queue)).values())


async def none_visible(aws: Aws, queue: str) -> bool:
    return (await counts(aws, queue))["visible"] == 0


async def messages_in(aws: Aws, queue: str) -> list[SQSMessage]:
    """What can be received from a queue now; it stays there and stays visible."""
    async with aws.client("sqs") as sqs:
        url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
        answer = await sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
    return [await parsed(message, queue) for message in answer.get("Messages", [])]


async def parsed(message: dict[str, Any], queue: str) -> SQSMessage:
    """A message of ReceiveMessage as handlers would see it."""
    settler: Any = None
    return await SQSParser().parse_message(ReceivedMessage(message, queue=queue, settler=settler, received_at=0))


class BrokerOnMemory(SQSBroker):
    """The real broker with its receive loops, on queues in memory."""

    def __init__(self, service: MemoryService, **options: Any) -> None:
        super().__init__(**({"logger": None, "graceful_timeout": 5.0} | options))
        self._service = service

    async def _connect(self) -> Client:
        self.config.broker_config.connect(self._service)
        return self._service


class World(ABC):
    """The same questions to both."""

    @abstractmethod
    def broker(self, **options: Any) -> SQSBroker: ...

    @abstractmethod
    def running(self, broker: SQSBroker, *queues: SQSQueue) -> AbstractAsyncContextManager[SQSBroker]: ...

    @abstractmethod
    async def messages(self, queue: str) -> list[SQSMessage]: ...

    @abstractmethod
    async def until(self, check: Callable[[], Any], what: str) -> None: ...

    async def publish(self, publish: Awaitable[Any]) -> None:
        """Publish; in memory the handler's errors come out of it, on AWS they do not."""
        with suppress(Exception):
            await publish

    async def emptied(self, queue: str) -> None:
        """Nothing is left in the queue."""

        async def is_empty() -> bool:
            return not await self.depth(queue)

        await self.until(is_empty, f"{queue} is empty")

    @abstractmethod
    async def depth(self, queue: str) -> int: ...


class Memory(World):
    """TestSQSBroker; waiting delivers again what was given back."""

    def __init__(self) -> None:
        self._test_broker: TestSQSBroker[SQSBroker] | None = None

    def broker(self, **options: Any) -> SQSBroker:
        return SQSBroker(**options)

    @asynccontextmanager
    async def running(self, broker: SQSBroker, *queues: SQSQueue) -> AsyncIterator[SQSBroker]:
        self._test_broker = TestSQSBroker(broker, queues=queues)
        async with self._test_broker as running:
            yield running

    async def messages(self, queue: str) -> list[SQSMessage]:
        assert self._test_broker is not None
        return await self._test_broker.messages(queue)

    async def depth(self, queue: str) -> int:
        return len(await self.messages(queue))

    async def until(self, check: Callable[[], Any], what: str) -> None:
        async def checked() -> Any:
            assert self._test_broker is not None
            answer = check()
            if not (await answer if isinstance(answer, Awaitable) else answer):
                with suppress(Exception):
                    await self._test_broker.redeliver()
            answer = check()
            return await answer if isinstance(answer, Awaitable) else answer

        await eventually(checked, what=what)


class Emulated(World):
    """The real broker over HTTP."""

    def __init__(self, aws: Aws, client: str = "fast") -> None:
        self.aws = aws
        self._client = client

    def broker(self, **options: Any) -> SQSBroker:
        return broker_on(self.aws, client=self._client, **options)

    @asynccontextmanager
    async def running(self, broker: SQSBroker, *queues: SQSQueue) -> AsyncIterator[SQSBroker]:
        for queue in queues:
            broker.publisher(queue, include_in_schema=False)
        async with started(broker):
            yield broker

    async def messages(self, queue: str) -> list[SQSMessage]:
        return await messages_in(self.aws, queue)

    async def depth(self, queue: str) -> int:
        return sum((await counts(self.aws, queue)).values())

    async def until(self, check: Callable[[], Any], what: str) -> None:
        await eventually(check, what=what)


def as_json(body: bytes) -> Any:
    """The content of a JSON body."""
    return json.loads(body)
