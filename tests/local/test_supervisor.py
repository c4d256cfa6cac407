"""Processes that are kept running: small shell scripts in place of ours."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from bbws.local import supervisor as supervising
from bbws.local.errors import UpFailed
from bbws.local.supervisor import Process, Supervisor, spawned
from tests.support.waiting import eventually

SLEEP = "exec sleep 60"


@pytest.fixture
def lines() -> list[tuple[str, Mapping[str, Any]]]:
    return []


@pytest_asyncio.fixture
async def supervisor(
    lines: list[tuple[str, Mapping[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Supervisor]:
    monkeypatch.setattr(supervising, "RESTART_AFTER_S", 0)
    supervisor = Supervisor(lambda name, line: lines.append((name, line)), command=("sh", "-c"))
    yield supervisor
    await supervisor.stop(last=())


def _run(supervisor: Supervisor, name: str, script: str) -> None:
    supervisor.launch(name, (script,), {"PATH": "/usr/bin:/bin"})


def _events(lines: list[tuple[str, Mapping[str, Any]]], name: str) -> list[str]:
    return [line["event"] for whose, line in lines if whose == name]


async def test_a_process_that_is_killed_runs_again_and_is_ready_when_it_says_so(
    supervisor: Supervisor, lines: list[tuple[str, Mapping[str, Any]]]
) -> None:
    """As ECS would; what it logs is told line by line, JSON or not."""
    _run(supervisor, "one", f"""echo plain; echo '{{"event": "consumer ready", "n": 1}}'; {SLEEP}""")
    await supervisor.until_ready("one")
    assert _events(lines, "one") == ["plain", "consumer ready"]
    await supervisor.kill("one")
    await supervisor.until_ready("one")
    again = "process ended with -9, starting it again"
    assert _events(lines, "one") == ["plain", "consumer ready", again, "plain", "consumer ready"]
    assert lines[1] == ("one", {"event": "consumer ready", "n": 1})


async def test_a_process_that_dies_at_every_start_is_given_up(
    supervisor: Supervisor, lines: list[tuple[str, Mapping[str, Any]]]
) -> None:
    """A wrong setting would otherwise look like a system that is about to start, for ever."""
    _run(supervisor, "one", "exit 3")
    with pytest.raises(UpFailed, match="one ended 5 times right after its start"):
        await asyncio.wait_for(supervisor.failed, 10)
    assert _events(lines, "one") == ["process ended with 3, starting it again"] * 5
    with pytest.raises(UpFailed, match="one ended 5 times"):
        await supervisor.until_ready("one")


async def test_a_process_that_lived_for_a_while_is_not_given_up(
    supervisor: Supervisor, lines: list[tuple[str, Mapping[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests kill the same process ten times: only deaths right after a start count, and in a row."""
    monkeypatch.setattr(supervising, "SHORT_LIFE_S", 0)
    _run(supervisor, "one", "exit 3")
    await eventually(lambda: len(_events(lines, "one")) > 7, what="eight deaths")
    assert not supervisor.failed.done()


async def test_what_is_needed_by_the_others_stops_last(
    supervisor: Supervisor, lines: list[tuple[str, Mapping[str, Any]]]
) -> None:
    """What the gateway still has in hand needs PayFast."""
    for name in ("last", "first"):
        _run(supervisor, name, f"trap 'echo {name} ends; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    await eventually(lambda: len(lines) == 2, what="both run")
    await supervisor.stop(last=("last",))
    assert [line["event"] for _, line in lines[2:]] == ["first ends", "last ends"]


async def test_a_process_that_does_not_end_is_killed(
    supervisor: Supervisor, lines: list[tuple[str, Mapping[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends in reasonable time, whatever hangs."""
    monkeypatch.setattr(supervising, "STOP_WITHIN_S", 0.2)
    _run(supervisor, "one", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    await eventually(lambda: lines, what="it runs")
    began = time.monotonic()
    await supervisor.stop(last=())
    assert 0.2 <= time.monotonic() - began < 5


async def test_a_process_that_is_being_started_when_all_stop_ends_too() -> None:
    """Nobody knows it yet: it would go on alone, in the system that is started next."""
    started: list[Process] = []

    async def slowly(command: Sequence[str], environment: Mapping[str, str]) -> Process:
        started.append(await spawned(command, environment))
        await asyncio.sleep(0.1)
        return started[0]

    supervisor = Supervisor(lambda _name, _line: None, command=("sh", "-c"), spawn=slowly)
    _run(supervisor, "one", SLEEP)
    await eventually(lambda: started, what="it is being started")
    await supervisor.stop(last=())
    assert started[0].returncode is not None


async def test_what_is_not_ready_in_time_is_named(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits must learn for what."""
    monkeypatch.setattr(supervising, "READY_WITHIN_S", 0.1)
    _run(supervisor, "one", SLEEP)
    with pytest.raises(UpFailed, match="one was not ready within"):
        await supervisor.until_ready("one")


class _Life:
    """A process that lives for `lasts_s` of the test's clock, or until it is told to end."""

    def __init__(self, clock: list[float], lasts_s: float | None) -> None:
        self.stdout = asyncio.StreamReader()
        self.stdout.feed_eof()
        self.returncode: int | None = None
        self._clock = clock
        self._lasts_s = lasts_s
        self._told = asyncio.Event()

    async def wait(self) -> int:
        if self._lasts_s is None:
            await self._told.wait()
        else:
            self._clock[0] += self._lasts_s
        self.returncode = 3
        return 3

    def send_signal(self, signal: int) -> None:
        self._told.set()


@pytest.mark.parametrize(("lives", "given_up"), [((1, 1, 1, 1, 9) * 3, False), ((1, 1, 1, 9) + (1,) * 5, True)])
async def test_only_short_lives_in_a_row_count(
    lives: tuple[float, ...], given_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ran well for a day in between has proved its settings."""
    monkeypatch.setattr(supervising, "RESTART_AFTER_S", 0)
    clock, left, last = [0.0], list(lives), asyncio.get_running_loop().create_future()
    monkeypatch.setattr(supervising, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    async def spawn(command: Sequence[str], environment: Mapping[str, str]) -> _Life:
        if left:
            return _Life(clock, left.pop(0))
        last.set_result(None)
        return _Life(clock, None)

    supervisor = Supervisor(lambda name, line: None, spawn=spawn)
    supervisor.launch("one", (), {})
    await asyncio.wait({supervisor.failed, last}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert (supervisor.failed.done(), left) == (given_up, [])
    await supervisor.stop(last=())
