"""A consumer's process: what its subscribers are told, its loops, its health."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bbws.consumers import CONSUMERS
from bbws.consumers import app as app_module
from bbws.consumers.app import Consumer, application, build
from bbws.local.ports import Ports
from bbws.shared.bootstrap import Services
from bbws.shared.errors import Unavailable
from bbws.shared.settings import Settings
from bbws.shared.sqs import SQSBroker, SQSQueue
from bbws.shared.topology import Topology
from tests.support.emulator import Aws
from tests.support.waiting import eventually


@asynccontextmanager
async def _running(settings: Settings, register: Callable[[Consumer], None]) -> AsyncIterator[None]:
    app = application(build(register, settings, registry=CollectorRegistry()))
    run = asyncio.create_task(app.run())
    try:
        yield
    finally:
        app.exit()
        await run


def test_every_queue_is_read_with_the_figures_of_topology(monkeypatch: pytest.MonkeyPatch) -> None:
    """What topology declares is what the processes do (R-240 ff.); a figure that nobody passes on is a comment."""
    asked: dict[str, dict[str, Any]] = {}
    subscriber = SQSBroker.subscriber

    def note(self: SQSBroker, queue: SQSQueue, **figures: Any) -> Any:
        asked[queue.name] = figures
        return subscriber(self, queue, **figures)

    monkeypatch.setattr(SQSBroker, "subscriber", note)
    settings = Settings(receive_wait_s=7)
    for entry in CONSUMERS.values():
        build(entry.register, settings, registry=CollectorRegistry())
    assert asked == {
        queue.name: {
            "batch_size": queue.batch_size,
            "max_workers": queue.max_workers,
            "attempts": queue.attempts,
            "wait_time": 7,
            "no_reply": True,
        }
        for queue in Topology.for_settings(settings).queues
    }


def test_the_consumer_that_draws_pdfs_starts_its_workers_at_once() -> None:
    """The first invoice after a deployment would otherwise wait for them; no other process needs any."""
    built = {name: build(entry.register, Settings(), registry=CollectorRegistry()) for name, entry in CONSUMERS.items()}
    assert [name for name, consumer in built.items() if consumer.draws_pdfs] == ["order-pdf"]


def _failing(*errors: Exception | None) -> tuple[Callable[[Services], Awaitable[int]], list[None]]:
    """Work that fails so, one time after the other, then never again; and a list of its calls."""
    outcomes, calls = iter(errors), list[None]()

    async def work(_: Services) -> int:
        calls.append(None)
        if error := next(outcomes, None):
            raise error
        return 0

    return work, calls


async def test_a_loop_that_failed_goes_on(settings: Settings) -> None:
    """One row that nobody can read must not leave the outbox unswept until somebody starts the process anew."""
    work, calls = _failing(RuntimeError("division by cucumber"), Unavailable("dynamodb", "down"), ValueError("no"))
    with capture_logs() as lines:
        async with _running(settings, lambda consumer: consumer.loop("sweeper", work, 0.01)):
            await eventually(lambda: len(calls) >= 5, what="five rounds")
    failed = [line for line in lines if line["event"] == "loop failed"]
    assert [(line["loop"], line["log_level"]) for line in failed] == [("sweeper", "error")] * 2


async def test_an_outage_is_logged_when_it_begins_and_when_it_ends(settings: Settings) -> None:
    """A line every five seconds for each loop would bury whatever else the log says of that hour."""
    out = Unavailable("dynamodb", "down")
    work, calls = _failing(None, out, out, out, None, None, out)
    with capture_logs() as lines:
        async with _running(settings, lambda consumer: consumer.loop("sweeper", work, 0.01)):
            await eventually(lambda: len(calls) >= 9, what="nine rounds")
    told = [line["event"] for line in lines if line["event"].startswith("loop ")]
    assert told == ["loop waits for a dependency", "loop goes on"] * 2


async def test_a_loop_rests_between_its_rounds(settings: Settings) -> None:
    """Without its interval it would ask DynamoDB a thousand times a second, all day."""
    often, often_calls = _failing()
    seldom, seldom_calls = _failing()

    def register(consumer: Consumer) -> None:
        consumer.loop("often", often, 0.05)
        consumer.loop("seldom", seldom, 60)

    async with _running(settings, register):
        await eventually(lambda: len(often_calls) >= 4, what="four rounds")
    assert len(seldom_calls) == 1


async def test_drain_asks_twice_before_it_believes_that_nothing_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQS's counts are approximate, what one loop did may be work for the next, and an outage is no empty queue."""
    monkeypatch.setattr(app_module, "DRAIN_POLL_S", 0)
    out = Unavailable("dynamodb", "down")
    left: Iterator[int | Exception] = iter([3, 0, 1, out, out, 1, 0, 0, 0])
    rounds: list[int | Exception] = []

    async def work(_: Services) -> int:
        rounds.append(found := next(left))
        if isinstance(found, Exception):
            raise found
        return found

    consumer = build(lambda built: built.loop("sweeper", work, 1), settings, registry=CollectorRegistry())
    async with asyncio.timeout(20):
        await application(consumer, drain=True).run()
    assert rounds == [3, 0, 1, out, out, 1, 0, 0]


def test_housekeeping_looks_for_all_that_is_left_over() -> None:
    """What no loop takes up stays undone until somebody misses it."""
    built = build(CONSUMERS["housekeeping"].register, Settings(housekeeping_interval_s=3))
    assert {loop.name: loop.interval_s for loop in built.loops} == dict.fromkeys(
        (
            *("order-outbox", "payment-notices"),
            *("tenant-outbox", "tenant-purges", "staff-groups"),
            "audit-seals",
        ),
        3.0,
    )


@pytest.mark.needs("faults")
async def test_health_follows_sqs(settings: Settings, aws: Aws) -> None:
    """A task that cannot reach its queues is replaced; one whose health never changes never is."""
    port = Ports.free().gateway
    url = f"http://127.0.0.1:{port}"
    async with (
        _running(settings.model_copy(update={"consumer_http_port": port}), lambda _: None),
        aiohttp.ClientSession() as session,
    ):

        async def health() -> tuple[int, str]:
            try:
                async with session.get(f"{url}/healthz") as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectionError:
                return 0, "not up yet"

        async def is_healthy() -> bool:
            return await health() == (200, "ok")

        await eventually(is_healthy, what="the consumer is healthy")
        await aws.inject("sqs")
        assert await health() == (503, "SQS does not answer")
        await aws.heal()
        await eventually(is_healthy, what="it is healthy again")
        async with session.get(f"{url}/metrics") as answer:
            assert "python_info" in await answer.text()
