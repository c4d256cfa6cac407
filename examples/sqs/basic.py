"""Orders come in by a topic, are confirmed in another queue, and land in the dead letters when they are impossible.

Runs against any SQS and SNS, by default an emulator:

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=eu-west-1 \
    AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test python examples/sqs/basic.py
"""

import asyncio
import logging

from faststream import FastStream
from faststream.exceptions import RejectMessage
from pydantic import BaseModel

from bbws.shared.sqs import Backoff, SQSBroker, SQSMessage, SQSQueue, TopicLink

broker = SQSBroker(declare=True)
app = FastStream(broker)
log = logging.getLogger("example")

ORDERS = SQSQueue(
    "example-orders", dead_letter="example-orders-dlq", max_receive_count=3, topics=[TopicLink("example-shop")]
)
CONFIRMED = SQSQueue("example-confirmed")
confirmed, rejected = asyncio.Event(), asyncio.Event()


class Order(BaseModel):
    id: int
    quantity: int


@broker.subscriber(ORDERS, max_workers=10, wait_time=1, retry=Backoff.exponential(base=1, cap=60))
@broker.publisher(CONFIRMED)
async def confirm(order: Order, message: SQSMessage) -> Order:
    """Reads example-orders, publishes to example-confirmed; a repeat confirms the same order again."""
    log.info("order %s, attempt %s", order.id, message.receive_count)
    if order.quantity < 1:
        rejected.set()
        raise RejectMessage(reason="nothing ordered")
    return order


@broker.subscriber(CONFIRMED, wait_time=1)
async def tell(order: Order) -> None:
    """Reads example-confirmed; publishes nothing."""
    log.info("order %s is confirmed", order.id)
    confirmed.set()


@app.after_startup
async def order_something() -> None:
    """Publish a good order and an impossible one; stop when both have been seen."""
    await broker.publish_batch(Order(id=1, quantity=2), Order(id=2, quantity=0), topic="example-shop")
    await asyncio.gather(confirmed.wait(), rejected.wait())
    app.exit()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(app.run())
