"""The consumers under comparison that need nothing but this repository, and what all consumers have in common."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from aiobotocore.session import get_session
from pydantic import BaseModel

from bbws.shared.sqs import SQSBroker

REGION = "af-south-1"
KEYS: dict[str, Any] = {"aws_access_key_id": "000000000001", "aws_secret_access_key": "test"}
QUEUE = "q"


class Customer(BaseModel):
    name: str
    email: str
    phone: str


class Line(BaseModel):
    sku: str
    title: str
    quantity: int
    price_cents: int
    tags: list[str]


class Order(BaseModel):
    order_id: str
    tenant_id: str
    currency: str
    customer: Customer
    lines: list[Line]
    note: str


class Work:
    """What handlers do with an order: wait so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.done = 0

    async def __call__(self, _: Order) -> None:
        self.done += 1
        if self.seconds:
            await asyncio.sleep(self.seconds)

    def in_thread(self, _: Order) -> None:
        """For handlers that are no coroutines."""
        self.done += 1
        if self.seconds:
            time.sleep(self.seconds)

    def threads(self, workers: int) -> int:
        """As many as are of use: where nothing is waited for, more than ten only stand in each other's way."""
        return workers if self.seconds else min(workers, 10)


Driver = Callable[[str, Work, int], Coroutine[Any, Any, None]]
"""Consumes the queue of an endpoint with this handler and so many at once, for ever."""


async def raw(endpoint_url: str, work: Callable[[Order], Awaitable[None]], _: int) -> None:
    """R: receive ten, validate, handle, delete ten."""
    async with get_session().create_client("sqs", endpoint_url=endpoint_url, region_name=REGION, **KEYS) as sqs:
        url = (await sqs.get_queue_url(QueueName=QUEUE))["QueueUrl"]
        while True:
            answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            messages = answer.get("Messages", [])
            await asyncio.gather(*(work(Order.model_validate_json(message["Body"])) for message in messages))
            entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
            if entries:
                await sqs.delete_message_batch(QueueUrl=url, Entries=entries)


def ours(**options: Any) -> Driver:
    """This package's broker with a handler that takes the model."""

    async def consume(endpoint_url: str, work: Work, workers: int) -> None:
        settings: dict[str, Any] = {"logger": None, "region_name": REGION, **KEYS, **options}
        broker = SQSBroker(endpoint_url, **settings)

        @broker.subscriber(QUEUE, max_workers=workers)
        async def handle(order: Order) -> None:
            await work(order)

        await broker.start()
        await asyncio.Event().wait()

    return consume


def logged() -> Driver:
    """With FastStream's two lines for each message."""
    logger = logging.getLogger("benchmark")
    logger.addHandler(logging.FileHandler("/dev/null"))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return ours(logger=logger)


OWN: Mapping[str, Callable[[], Driver]] = {
    "raw": lambda: raw,
    "fast": lambda: ours(client="fast"),
    "botocore": lambda: ours(client="botocore"),
    "fast+log": logged,
}


def as_text(order: dict[str, Any]) -> str:
    """The order alone, as this package and a bare client send it."""
    return json.dumps(order, separators=(",", ":"))
