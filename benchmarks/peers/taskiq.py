"""taskiq-aio-sqs in taskiq's own receiver; ten messages per receive, which is not its default."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from taskiq.message import TaskiqMessage
from taskiq.receiver import Receiver
from taskiq_aio_sqs import SQSBroker

from benchmarks.consumers import KEYS, QUEUE, REGION, Order, Work

_TASK = "benchmark:handle"


def _broker(endpoint_url: str) -> Any:
    return SQSBroker(
        QUEUE, endpoint_url=endpoint_url, region_name=REGION, max_number_of_messages=10, wait_time_seconds=20, **KEYS
    )


def body(order: dict[str, Any]) -> str:
    """A call of the task with the order as its argument."""
    call = TaskiqMessage(task_id="0" * 32, task_name=_TASK, labels={}, args=[order], kwargs={})
    text: str = _broker("http://localhost").formatter.dumps(call).message.decode()
    return text


async def consume(endpoint_url: str, work: Work, workers: int) -> None:
    """taskiq validates the argument by the task's annotation."""
    broker = _broker(endpoint_url)

    @broker.task(task_name=_TASK)  # type: ignore[untyped-decorator]
    async def handle(order: Order) -> None:
        await work(order)

    broker.is_worker_process = True
    with ThreadPoolExecutor() as executor:
        await Receiver(broker, executor=executor, max_async_tasks=workers).listen(asyncio.Event())
