"""A long day: many messages, some fail, some hang, and consumers are stopped, killed and started meanwhile.

Of a hundred messages one fails each time, of a thousand one hangs for a minute before it ends well. One consumer stays
for the whole run and tells its memory; another is stopped again and again (every fourth time killed), and started anew.
At the end each message was handled, or lies in the dead letters with its reason; what is not so makes the exit code 1.

python -m benchmarks.soak [--messages 1000000]
"""

import asyncio
import json
import logging
import mmap
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from bbws.shared.sqs import SQSBroker, SQSQueue
from bbws.shared.sqs.dead_letters import REASON
from bbws.shared.sqs.wire import unpack
from benchmarks.consume import ask, rss_mib
from benchmarks.consumers import KEYS, QUEUE, REGION
from benchmarks.sqs_stub import pin

ATTEMPTS = 3
# A backstop above our own count, as docs/sqs.md recommends.
MAX_RECEIVES = 6
VISIBILITY_S = 20
GRACE_S = 2.0
LIVES_S = (5.0, 25.0)
KILLED_EVERY = 4
# Who lives shorter than a message hangs never ends it: of the last ones the consumer that stays takes care.
LAST = 0.002
TELL_EVERY_S = 15.0


def fails(number: int) -> bool:
    return number % 100 == 7


def hangs(number: int) -> bool:
    return number % 1000 == 500


async def consume(port: int, shared: Path, hang_s: float, workers: int) -> None:
    """One consumer, until SIGTERM; each handled message adds one to its byte in the shared file."""
    broker = SQSBroker(f"http://127.0.0.1:{port}", logger=None, region_name=REGION, graceful_timeout=GRACE_S, **KEYS)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with shared.open("r+b") as file, mmap.mmap(file.fileno(), 0) as handled:

        @broker.subscriber(SQSQueue(QUEUE), max_workers=workers, attempts=ATTEMPTS, wait_time=2)
        async def handle(number: int) -> None:
            if fails(number):
                raise ValueError(f"{number} fails each time")
            if hangs(number):
                await asyncio.sleep(hang_s)
            handled[number] = min(handled[number] + 1, 255)

        async with broker:
            await broker.start()
            await stop.wait()
            await broker.stop()


class Consumer:
    """A process that consumes."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "benchmarks.soak", "--consumer", json.dumps([str(a) for a in arguments])]
        self._process = subprocess.Popen(command)

    @property
    def memory_mib(self) -> float:
        assert self._process.poll() is None, f"the consumer ended with {self._process.returncode}"
        return rss_mib(self._process.pid)

    async def end(self, by: signal.Signals) -> None:
        self._process.send_signal(by)
        await asyncio.to_thread(self._process.wait)


async def soak(messages: int, hang_s: float, workers: int) -> bool:
    """Whether nothing was lost and every dead letter says why it is one."""
    with TemporaryDirectory() as folder, _queue(messages) as port:
        shared = Path(folder) / "handled"
        shared.write_bytes(bytes(messages))
        await _consume_all(port, shared, messages, hang_s, workers)
        return _verdict(shared.read_bytes(), await ask(port, "/figures"), await ask(port, "/letters"))


@contextmanager
def _queue(messages: int) -> Iterator[int]:
    """The port of an SQS with so many messages."""
    stub = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sqs_leases", str(messages), str(VISIBILITY_S), str(MAX_RECEIVES)],
        stdout=subprocess.PIPE,
    )
    try:
        assert stub.stdout is not None
        yield int(stub.stdout.readline())
    finally:
        stub.terminate()
        stub.communicate()


async def _consume_all(port: int, shared: Path, messages: int, hang_s: float, workers: int) -> None:
    arguments = (port, shared, hang_s, workers)
    resident = Consumer(*arguments)
    coming_and_going = asyncio.create_task(_come_and_go(arguments))
    began = time.monotonic()
    while (figures := await ask(port, "/figures"))["left"]:
        click.echo(
            f"{time.monotonic() - began:6.0f} s {messages - figures['left']:>9,} done "
            f"{figures['held']:>5} in flight {figures['letters']:>7,} dead letters, {figures['redriven']} by SQS "
            f"{resident.memory_mib:6.1f} MiB"
        )
        assert coming_and_going.cancelled() or not coming_and_going.done(), coming_and_going
        if figures["left"] < messages * LAST:
            coming_and_going.cancel()
        await asyncio.sleep(TELL_EVERY_S)
    coming_and_going.cancel()
    await asyncio.gather(coming_and_going, return_exceptions=True)
    await resident.end(signal.SIGTERM)


async def _come_and_go(arguments: tuple[object, ...]) -> None:
    for life in count(1):
        consumer = Consumer(*arguments)
        by = signal.SIGTERM
        try:
            await asyncio.sleep(random.uniform(*LIVES_S))
            by = signal.SIGTERM if life % KILLED_EVERY else signal.SIGKILL
        finally:
            await consumer.end(by)


def _verdict(handled: bytes, figures: dict[str, Any], letters: Sequence[Any]) -> bool:
    reasons = {int(body): str(unpack(attributes).get(REASON, "")) for body, attributes in letters}
    bad = [number for number in range(len(handled)) if fails(number)]
    good = len(handled) - len(bad)
    lost = [n for n, times in enumerate(handled) if not times and n not in reasons]
    buried = [n for n in reasons if not fails(n)]
    unexplained = [n for n, reason in reasons.items() if not reason]
    again = sum(times > 1 for times in handled)
    requests = sum(figures["requests"].values())
    click.echo(f"handled: {sum(map(bool, handled)):,} of {good:,}; {again} more than once")
    click.echo(f"dead letters: {len(letters):,} for {len(bad):,} that fail; {len(unexplained)} without a reason")
    click.echo(f"good ones in the dead letters: {len(buried)} {[(n, reasons[n]) for n in buried[:3]]}")
    click.echo(f"lost: {len(lost)} {lost[:3]}; requests per message: {requests / len(handled):.3f}")
    return not (lost or buried or unexplained)


@click.command(help=__doc__)
@click.option("--messages", default=1_000_000, show_default=True)
@click.option("--hang", default=60.0, show_default=True, help="Seconds that one of a thousand hangs.")
@click.option("--workers", default=200, show_default=True, help="Handlers at once, of each consumer.")
@click.option("--consumer", hidden=True)
def main(messages: int, hang: float, workers: int, consumer: str | None) -> None:
    logging.disable(logging.CRITICAL)
    if consumer:
        pin(1)
        port, shared, hang_s, handlers = json.loads(consumer)
        asyncio.run(consume(int(port), Path(shared), float(hang_s), int(handlers)))
    elif not asyncio.run(soak(messages, hang, workers)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
