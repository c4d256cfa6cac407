"""A consumer process to be killed.

Each message is a number. What a handler begins and ends is a line in a file that survives whatever happens to the
process: process id, number, `+` or `-`.
"""

import asyncio
import os
from pathlib import Path
from typing import NamedTuple, Self

from faststream import FastStream

from bbws.shared.sqs import SQSQueue
from tests.shared.sqs.worlds import broker_on
from tests.support.emulator import Aws

QUEUE = SQSQueue("mortal", dead_letter="mortal-dlq", max_receive_count=20)
WORKERS = 20
GRACE_S = 5.0
_LINE = "{:>9} {:>6} {}\n"


class Line(NamedTuple):
    """`began` is False at the end of a handler."""

    process: int
    number: int
    began: bool

    @classmethod
    def read(cls, text: str) -> Self:
        process, number, mark = text.split()
        return cls(int(process), int(number), mark == "+")


class Log:
    """Lines of all processes in the order in which they were written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def __len__(self) -> int:
        return self.path.stat().st_size // len(_LINE.format(0, 0, "+"))

    def lines(self) -> list[Line]:
        return [Line.read(text) for text in self.path.read_text().splitlines()]


def consume(aws: Aws, log: Path, lease_s: int) -> None:
    """What the process does, until SIGTERM."""
    asyncio.run(_consume(aws, log, lease_s))


async def _consume(aws: Aws, log: Path, lease_s: int) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    broker = broker_on(aws, graceful_timeout=GRACE_S)

    @broker.subscriber(QUEUE, max_workers=WORKERS, pollers=2, wait_time=1, visibility_timeout=lease_s)
    async def handle(number: int) -> None:
        os.write(file, _LINE.format(os.getpid(), number, "+").encode())
        await asyncio.sleep(number % 10 / 1000)
        os.write(file, _LINE.format(os.getpid(), number, "-").encode())

    await FastStream(broker, logger=None).run()
