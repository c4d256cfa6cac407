"""Processes end in the middle of their work, asked or not: no message is lost, and who was asked repeats none.

The time is real: SQS counts the lease of what a killed process held.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from signal import SIGKILL, SIGTERM

from bbws.shared.sqs.limits import MAX_BATCH_ENTRIES
from tests.shared.sqs import mortal
from tests.shared.sqs.mortal import GRACE_S, QUEUE, WORKERS, Line, Log
from tests.shared.sqs.worlds import broker_on, counts, started
from tests.support.emulator import Aws
from tests.support.forks import FORKS
from tests.support.waiting import eventually

NAME = QUEUE.name
MESSAGES = 10_000
# What a killed process held is hidden for so long; long enough for others that wait for a busy core.
LEASE_S = 8
# Handlers at work, and two calls of deletes that SQS has not confirmed.
MAX_REPEATED = WORKERS + 2 * MAX_BATCH_ENTRIES


class Consumers:
    """Processes that work on one queue, and the log they share."""

    def __init__(self, aws: Aws, log: Log, lease_s: int) -> None:
        self.log = log
        self._arguments = (aws, log.path, lease_s)
        self._alive: dict[int, BaseProcess] = {}
        self.killed: set[int] = set()

    async def start(self) -> None:
        process = FORKS.Process(target=mortal.consume, args=self._arguments)
        await asyncio.to_thread(process.start)
        assert process.pid
        self._alive[process.pid] = process

    async def progress(self, lines: int) -> None:
        """The log is so long."""
        await eventually(lambda: len(self.log) >= lines, within_s=60, what=f"{lines} lines in the log")

    async def at_work(self) -> int:
        """The process that wrote last, of those that live."""
        return await eventually(self._last_at_work, within_s=20, what="one of the living is at work")

    def _last_at_work(self) -> int:
        return next((line.process for line in reversed(self.log.lines()) if line.process in self._alive), 0)

    async def kill(self, process_id: int) -> None:
        process = self._alive.pop(process_id)
        process.kill()
        assert await _exit_code(process, within_s=GRACE_S) == -SIGKILL
        self.killed.add(process_id)

    async def end(self, process_id: int) -> None:
        """Asked to end it does so in time, and says that all is well."""
        process = self._alive.pop(process_id)
        process.terminate()
        assert await _exit_code(process, within_s=2 * GRACE_S) == 0

    async def end_all(self) -> None:
        await asyncio.gather(*map(self.end, list(self._alive)))

    async def close(self) -> None:
        """Whatever happened, no process is left."""
        for process in self._alive.values():
            process.kill()
            await _exit_code(process, within_s=GRACE_S)


async def _exit_code(process: BaseProcess, within_s: float) -> int | None:
    await asyncio.to_thread(process.join, within_s)
    return process.exitcode


@asynccontextmanager
async def consumers(aws: Aws, folder: Path, lease_s: int) -> AsyncIterator[Consumers]:
    """None yet, and a full queue."""
    sender = broker_on(aws)
    sender.publisher(QUEUE)
    async with started(sender):
        await sender.publish_batch(*range(MESSAGES), queue=NAME)
    mortals = Consumers(aws, Log(folder / "log"), lease_s)
    try:
        yield mortals
    finally:
        await mortals.close()


def starts(lines: Iterable[Line]) -> Mapping[int, Sequence[int]]:
    """By number the processes that began to handle it, one after the other."""
    began = defaultdict(list)
    for line in lines:
        if line.began:
            began[line.number].append(line.process)
    return began


def unfinished(lines: Iterable[Line]) -> set[int]:
    """Processes that began what they did not end."""
    balance: Counter[tuple[int, int]] = Counter()
    for line in lines:
        balance[line.process, line.number] += 1 if line.began else -1
    return {process for (process, _), open_ in balance.items() if open_}


async def is_empty(aws: Aws) -> bool:
    return not sum((await counts(aws, NAME)).values())


async def test_sigterm_under_load_leaves_everything_done_or_visible(aws: Aws, tmp_path: Path) -> None:
    """Three deploys in a row: with a lease of ten minutes nothing may wait for its end, and nothing is done twice."""
    async with consumers(aws, tmp_path, lease_s=600) as mortals:
        for _ in range(3):
            await mortals.start()
            await mortals.progress(len(mortals.log) + 300)
            await mortals.end(await mortals.at_work())
            done = [line.number for line in mortals.log.lines() if not line.began]
            assert len(done) == len(set(done))
            assert await counts(aws, NAME) == {"visible": MESSAGES - len(done), "held": 0, "delayed": 0}
    assert not unfinished(mortals.log.lines())


async def test_sigterm_and_sigkill_under_load_lose_nothing(aws: Aws, tmp_path: Path) -> None:
    """Whatever ends a process, all is handled; twice only what one that could not say goodbye had begun."""
    chance = Random(794)
    ends = [SIGTERM] * 3 + [SIGKILL] * 4
    chance.shuffle(ends)
    # In lines of the log, of which a message has two: while others work on, the last lease ends.
    moments = sorted(chance.sample(range(MESSAGES // 20, MESSAGES), len(ends)))
    async with consumers(aws, tmp_path, LEASE_S) as mortals:
        await mortals.start()
        await mortals.start()
        for moment, end in zip(moments, ends, strict=True):
            await mortals.progress(moment)
            await (mortals.kill if end is SIGKILL else mortals.end)(await mortals.at_work())
            await mortals.start()
        await eventually(partial(is_empty, aws), within_s=60, what="each message is deleted")
        await mortals.end_all()

    lines = mortals.log.lines()
    assert {line.number for line in lines if not line.began} == set(range(MESSAGES))
    assert not sum((await counts(aws, "mortal-dlq")).values())
    assert unfinished(lines) <= mortals.killed
    repeated = Counter(process for began in starts(lines).values() for process in began[:-1])
    print(f"begun again, by killed process: {dict(repeated)}")
    assert repeated.keys() <= mortals.killed
    assert max(repeated.values(), default=0) <= MAX_REPEATED
