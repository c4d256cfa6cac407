"""Consumers as applications on the emulator, and what lies in their dead letters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bbws.consumers import CONSUMERS
from bbws.consumers.app import Consumer, application, build
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.settings import Settings
from tests.support.market import Market


@asynccontextmanager
async def running(settings: Settings, *names: str) -> AsyncIterator[list[Consumer]]:
    """The applications of these consumers, as `bbws consumer` runs them, in this process."""
    consumers = [build(CONSUMERS[name].register, settings) for name in names]
    apps = [application(consumer) for consumer in consumers]
    runs = [asyncio.create_task(app.run()) for app in apps]
    try:
        yield consumers
    finally:
        for app in apps:
            app.exit()
        await asyncio.gather(*runs)


async def publish(market: Market, event: Envelope) -> None:
    """On the bus, from where it takes the way of all events."""
    await market.services.event_bus.publish(event, event.to_json())


async def send(market: Market, queue: str, body: str) -> None:
    async with market.aws.client("sqs") as sqs:
        await sqs.send_message(QueueUrl=await market.queue_url(sqs, queue), MessageBody=body)


async def letters(market: Market, queue: str) -> list[dict[str, Any]]:
    """Bodies and stories of a dead-letter queue, left where they are."""
    async with market.aws.client("sqs") as sqs:
        answer = await sqs.receive_message(
            QueueUrl=await market.queue_url(sqs, f"{queue}-dlq"),
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            MessageAttributeNames=["All"],
        )
    return [
        {"body": letter["Body"], **{n: a.get("StringValue") for n, a in letter["MessageAttributes"].items()}}
        for letter in answer.get("Messages", ())
    ]
