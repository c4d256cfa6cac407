"""One FastStream application per consumer process: its broker, its services, its loops, its way to stop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from faststream import FastStream
from prometheus_client import REGISTRY, CollectorRegistry

from bbws.consumers.health import serve_health
from bbws.consumers.middlewares import bind_flow, verdicts
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.core.audit import acting
from bbws.shared.errors import Dependency, Ping, Unavailable
from bbws.shared.integrations.aws import session_for
from bbws.shared.logging import get_logger
from bbws.shared.settings import Settings, secret
from bbws.shared.sqs import SQSBroker, SQSQueue
from bbws.shared.sqs.opentelemetry import SQSTelemetryMiddleware
from bbws.shared.sqs.prometheus import SQSPrometheusMiddleware
from bbws.shared.topology import Queue, Topology

# Longer than the slowest handler (a PDF on a busy machine takes seconds), shorter than ECS's stopTimeout of 120 s.
GRACEFUL_TIMEOUT_S = 30.0
DRAIN_POLL_S = 0.5

EventT = TypeVar("EventT", bound=Envelope)
Handler = Callable[[EventT], Awaitable[None]]
Work = Callable[[Services], Awaitable[int]]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Loop:
    """Work that nobody sends a message for; it returns how much there was to do."""

    name: str
    work: Work
    interval_s: float

    async def run(self, services: Services) -> int:
        with acting(self.name):
            return await self.work(services)


@dataclass(slots=True)
class Consumer:
    """What a consumer module registers its handlers and loops on."""

    settings: Settings
    broker: SQSBroker
    topology: Topology
    queues: list[Queue] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    draws_pdfs: bool = False
    running: Services | None = None

    @property
    def services(self) -> Services:
        """There from the start of the application on; handlers ask when they run."""
        assert self.running is not None, "the consumer has not started"
        return self.running

    def subscriber(self, queue_name: str) -> Callable[[Handler[EventT]], Handler[EventT]]:
        """Decorates the handler of a declared queue, which gets the figures of topology.

        Every log line of a message carries the ids of its flow.
        """
        queue = self.topology.queue(queue_name)
        self.queues.append(queue)
        subscriber = self.broker.subscriber(
            SQSQueue(queue.name),
            batch_size=queue.batch_size,
            max_workers=queue.max_workers,
            attempts=queue.attempts,
            wait_time=self.settings.receive_wait_s,
            # Events are for whoever reads them: none may choose a queue that hears from us.
            no_reply=True,
        )

        def subscribe(handler: Handler[EventT]) -> Handler[EventT]:
            @wraps(handler)
            async def handle(event: EventT) -> None:
                bind_flow(event)
                await handler(event)

            subscriber(handle)
            return handler

        return subscribe

    def loop(self, name: str, work: Work, interval_s: float) -> None:
        self.loops.append(Loop(name, work, interval_s))


def build(
    register: Callable[[Consumer], None], settings: Settings, *, registry: CollectorRegistry = REGISTRY
) -> Consumer:
    """A consumer with its handlers, not started yet; `registry` holds the metrics of one consumer."""
    broker = SQSBroker(
        settings.aws_endpoint_url,
        region_name=settings.aws_region,
        session=session_for(settings.aws_access_key_id),
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=secret(settings.aws_secret_access_key),
        aws_session_token=secret(settings.aws_session_token),
        graceful_timeout=GRACEFUL_TIMEOUT_S,
        logger=logging.getLogger("bbws.broker"),
        # Two lines for each message cost as much as handling it; the services say what happened.
        log_level=logging.DEBUG,
        middlewares=(SQSTelemetryMiddleware(), SQSPrometheusMiddleware(registry=registry)),
    )
    consumer = Consumer(settings, broker, Topology.for_settings(settings))
    broker.add_middleware(verdicts(consumer_pings(consumer), lambda queue: consumer.topology.queue(queue).consumer))
    register(consumer)
    return consumer


def consumer_pings(consumer: Consumer) -> Callable[[Dependency], Ping | None]:
    """Finds the ping of a dependency that `Unavailable` names, where it has one."""
    return lambda dependency: consumer.services.pings.get(dependency)


def application(consumer: Consumer, *, drain: bool = False) -> FastStream:
    """The FastStream application; with `drain` it stops by itself once there is nothing left to do."""
    app = FastStream(consumer.broker, logger=logging.getLogger("bbws.app"), lifespan=_lifespan(consumer))
    tasks: list[asyncio.Task[None]] = []

    @app.after_startup
    async def start() -> None:
        if drain:
            tasks.append(asyncio.create_task(_drain(consumer, app)))
        else:
            tasks.extend(asyncio.create_task(_repeat(loop, consumer.services)) for loop in consumer.loops)
        log.info("consumer ready", queues=[queue.name for queue in consumer.queues])

    @app.on_shutdown
    async def stop() -> None:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    return app


def _lifespan(consumer: Consumer) -> Callable[[], Any]:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            consumer.running = await stack.enter_async_context(
                bootstrap(consumer.settings, warm_pdf=consumer.draws_pdfs)
            )
            if consumer.settings.consumer_http_port:
                await stack.enter_async_context(serve_health(consumer.settings, consumer.broker))
            yield

    return lifespan


async def _repeat(loop: Loop, services: Services) -> None:
    """Work, rest, work again. An outage is logged once, when it begins, and once when it has ended."""
    out = False
    while True:
        try:
            await loop.run(services)
        except Unavailable as error:
            if not out:
                log.warning("loop waits for a dependency", loop=loop.name, reason=str(error))
            out = True
        except Exception:
            log.exception("loop failed", loop=loop.name)
        else:
            if out:
                log.info("loop goes on", loop=loop.name)
            out = False
        await asyncio.sleep(loop.interval_s)


async def _drain(consumer: Consumer, app: FastStream) -> None:
    """Stops the application when loops find nothing and queues are empty, asked twice: counts are approximate.

    An outage ends nothing early; any other error ends the application with it.
    """
    idle = 0
    try:
        while idle < 2:
            idle = idle + 1 if await _is_idle(consumer) else 0
            await asyncio.sleep(DRAIN_POLL_S)
    finally:
        app.exit()


async def _is_idle(consumer: Consumer) -> bool:
    try:
        done = sum([await loop.run(consumer.services) for loop in consumer.loops])
        waiting = sum([await consumer.services.queues.backlog(queue.name) for queue in consumer.queues])
    except Unavailable as error:
        log.warning("cannot see yet what is left", reason=str(error))
        return False
    return not done and not waiting
