"""Celery's worker with kombu's SQS transport, a pool of threads, and acknowledgement after the task."""

import asyncio
import json
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from celery.apps.worker import Worker

from benchmarks.consumers import KEYS, QUEUE, REGION, Order, Work

_TASK = "handle"


def body(order: dict[str, Any]) -> str:
    """A call of the task as kombu's virtual transports put it into a queue: JSON in base64 in JSON in base64."""
    call = Celery(set_as_current=False).amqp.as_task_v2("0" * 32, _TASK, args=(order,))
    envelope = {
        "body": b64encode(json.dumps(call.body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": call.headers,
        "properties": {
            **call.properties,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": call.headers["id"],
        },
    }
    return b64encode(json.dumps(envelope).encode()).decode()


async def consume(endpoint_url: str, work: Work, workers: int) -> None:
    """The task validates its argument itself, as in Celery's documentation; results are not kept."""
    key, secret = KEYS.values()
    app = Celery(broker=f"sqs://{key}:{secret}@{urlsplit(endpoint_url).netloc}")
    app.conf.update(
        broker_transport_options={
            "region": REGION,
            "is_secure": False,
            "wait_time_seconds": 20,
            "predefined_queues": {QUEUE: {"url": f"{endpoint_url}/000000000000/{QUEUE}"}},
        },
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_ignore_result=True,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )

    @app.task(name=_TASK)  # type: ignore[untyped-decorator]
    def handle(order: dict[str, Any]) -> None:
        work.in_thread(Order.model_validate(order))

    worker = Worker(
        app=app, pool="threads", concurrency=work.threads(workers), loglevel="WARNING", quiet=True,
        without_gossip=True, without_mingle=True, without_heartbeat=True,
    )  # fmt: skip
    await asyncio.to_thread(worker.start)
