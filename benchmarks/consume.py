"""What a message costs its consumer: CPU, requests and memory, beside a bare aiobotocore loop (R).

A stub SQS on one core, one consumer process on the other, no TLS. Figures are of the consumer alone, from the moment
the queue opens to the last delete. Runs are interleaved; a row shows the median, its least and its most.

python -m benchmarks.consume [--quick] [--runs N] [--drivers raw,fast,botocore]
"""

import asyncio
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import click
from aiobotocore.session import get_session
from pydantic import BaseModel

from bbws.shared.sqs import SQSBroker
from benchmarks.figures import table
from benchmarks.sqs_stub import pin

IDLE_S = 2.0
_MIB = 1024 if sys.platform != "darwin" else 1024 * 1024  # ru_maxrss is in KiB, on macOS in bytes
_KEYS: dict[str, Any] = {
    "aws_access_key_id": "000000000001",
    "aws_secret_access_key": "test",
    "region_name": "af-south-1",
}


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


Work = Callable[[Order], Awaitable[None]]
Driver = Callable[[str, Work, int], Coroutine[Any, Any, None]]
"""Consumes the queue `q` of an endpoint with this handler and so many at once, for ever."""


async def raw(endpoint_url: str, work: Work, _: int) -> None:
    """R: receive ten, validate, handle, delete ten."""
    async with get_session().create_client("sqs", endpoint_url=endpoint_url, **_KEYS) as sqs:
        url = (await sqs.get_queue_url(QueueName="q"))["QueueUrl"]
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
        settings: dict[str, Any] = {"logger": None, **_KEYS, **options}
        broker = SQSBroker(endpoint_url, **settings)

        @broker.subscriber("q", max_workers=workers)
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


DRIVERS: Mapping[str, Callable[[], Driver]] = {
    "raw": lambda: raw,
    "fast": lambda: ours(client="fast"),
    "botocore": lambda: ours(client="botocore"),
    "fast+log": logged,
}


async def measured(driver: Driver, port: int, messages: int, handler_s: float, workers: int) -> dict[str, Any]:
    """Figures of one run in this process."""

    async def work(_: Order) -> None:
        if handler_s:
            await asyncio.sleep(handler_s)

    consuming = asyncio.create_task(driver(f"http://127.0.0.1:{port}", work, workers))
    while not (await _ask(port, "/figures"))["requests"].get("ReceiveMessage"):  # noqa: ASYNC110 - in another process
        await asyncio.sleep(0.05)
    done = asyncio.create_task(_ask(port, "/done"))
    await asyncio.sleep(0.1)
    cpu_s, started = time.process_time(), time.perf_counter()
    await _ask(port, "/open")
    await done
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - started
    working = await _ask(port, "/figures")
    await asyncio.sleep(IDLE_S)
    idle = await _ask(port, "/figures")
    assert not consuming.done()
    requests = sum(working["requests"].values())
    return {
        "cpu_ms": cpu_s * 1e6 / messages,
        "per_s": messages / wall_s,
        "requests": requests / messages,
        "idle": (sum(idle["requests"].values()) - requests) / IDLE_S,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB,
        "in_flight": idle["most_in_flight"],
        "left": messages - idle["deleted"] + idle["held"],
        "twice": idle["duplicate_deletes"],
    }


async def _ask(port: int, path: str) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: stub\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    answer: dict[str, Any] = json.loads(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    return answer


def run(driver: str, messages: int, latency_ms: float, handler_ms: float, workers: int) -> dict[str, Any]:
    """One run: its own stub, its own consumer process."""
    stub = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sqs_stub", str(messages), str(latency_ms)], stdout=subprocess.PIPE
    )
    try:
        assert stub.stdout is not None
        settings = json.dumps([driver, int(stub.stdout.readline()), messages, handler_ms / 1000, workers])
        command = [sys.executable, "-m", "benchmarks.consume", "--one", settings]
        figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    finally:
        stub.terminate()
        stub.communicate()
    return figures


def compared(drivers: Sequence[str], runs: int, *scenario: Any) -> str:
    """A table of medians; every driver runs once before the next round begins."""
    figures: dict[str, list[dict[str, Any]]] = {driver: [] for driver in drivers}
    for _ in range(runs):
        for driver in drivers:
            figures[driver].append(run(driver, *scenario))
    base = figures.get("raw") or figures[drivers[0]]
    head = ["consumer", "CPU ms/1,000", "least..most", "x R", "msg/s", "x R", "req/msg", "idle req/s", "peak RSS MiB",
            "in flight", "left", "deleted twice"]  # fmt: skip
    return table(head, [_row(driver, figures[driver], base) for driver in drivers])


def _row(driver: str, runs: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> list[str]:
    def median(name: str, of: Sequence[dict[str, Any]] = runs) -> float:
        return float(statistics.median(figures[name] for figures in of))

    cpu = [figures["cpu_ms"] for figures in runs]
    return [
        driver,
        f"{median('cpu_ms'):.0f}",
        f"{min(cpu):.0f}..{max(cpu):.0f}",
        f"{median('cpu_ms') / median('cpu_ms', base):.2f}",
        f"{median('per_s'):.0f}",
        f"{median('per_s') / median('per_s', base):.2f}",
        f"{median('requests'):.3f}",
        f"{median('idle'):.2f}",
        f"{median('rss_mib'):.0f}",
        *(f"{max(figures[name] for figures in runs)}" for name in ("in_flight", "left", "twice")),
    ]


async def one(driver: str, *scenario: Any) -> None:
    """A run in this process; figures as JSON on standard output."""
    print(json.dumps(await measured(DRIVERS[driver](), *scenario)), flush=True)
    # Nobody waits for the long poll that is under way.
    os._exit(0)


@click.command()
@click.option("--messages", default=20_000, show_default=True)
@click.option("--runs", default=5, show_default=True)
@click.option("--quick", is_flag=True, help="A tenth of the messages, three runs.")
@click.option("--drivers", default=",".join(DRIVERS), show_default=True)
@click.option("--one", "single", hidden=True)
def main(messages: int, runs: int, quick: bool, drivers: str, single: str | None) -> None:
    """Compare consumers of SQS."""
    if single:
        pin(1)
        asyncio.run(one(*json.loads(single)))
        return
    messages, runs = (messages // 10, 3) if quick else (messages, runs)
    names = drivers.split(",")
    click.echo(f"A handler that does nothing, {messages} messages, {runs} runs")
    click.echo(compared(names, runs, messages, 0, 0, 100))
    slow = max(messages // 7, 1_000)
    click.echo(f"\nA handler that waits 20 ms, 8 ms to each answer of SQS, {slow} messages, {runs} runs")
    click.echo(compared(names, runs, slow, 8, 20, 100))


if __name__ == "__main__":
    main()
