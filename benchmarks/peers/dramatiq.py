"""dramatiq-sqs with its default middleware; each thread handles one message."""

import asyncio
from base64 import b64encode
from typing import Any

import dramatiq
from dramatiq_sqs import SQSBroker

from benchmarks.consumers import KEYS, QUEUE, REGION, Order, Work

_ACTOR = "handle"


def body(order: dict[str, Any]) -> str:
    """A message to the actor, as its `send` encodes it."""
    message = dramatiq.Message(queue_name=QUEUE, actor_name=_ACTOR, args=(order,), kwargs={}, options={})
    return b64encode(message.encode()).decode()


async def consume(endpoint_url: str, work: Work, workers: int) -> None:
    """The actor validates its argument itself: dramatiq does not."""
    broker = SQSBroker(endpoint_url=endpoint_url, region_name=REGION, **KEYS)

    def handle(order: dict[str, Any]) -> None:
        work.in_thread(Order.model_validate(order))

    dramatiq.actor(actor_name=_ACTOR, queue_name=QUEUE, broker=broker)(handle)
    dramatiq.Worker(broker, worker_threads=work.threads(workers)).start()
    await asyncio.Event().wait()
