"""Builds a subscriber from the arguments of `broker.subscriber`."""

from dataclasses import replace
from typing import Any

from faststream import AckPolicy
from faststream.exceptions import SetupError

from .._internal import CallsCollection
from ..backoff import Backoff
from ..broker.config import SQSBrokerConfig
from ..limits import MAX_BATCH_ENTRIES, MAX_VISIBILITY_S, MAX_WAIT_TIME_S
from ..parser import UnwrapSNS
from ..schemas import SQSQueue
from .config import SQSSubscriberConfig, SQSSubscriberSpecificationConfig
from .specification import SQSSubscriberSpecification
from .usecase import SQSSubscriber

_POLLERS = 4
# What is held here nobody else can work on.
_PREFETCH_S = 10


def create_subscriber(
    *,
    queue: SQSQueue,
    max_workers: int,
    batch_size: int,
    wait_time: int,
    visibility_timeout: int | None,
    heartbeat: bool,
    retry: Backoff,
    unwrap_sns: UnwrapSNS,
    attempts: int | None,
    batch: bool,
    pollers: int | None,
    prefetch: float,
    ack_policy: AckPolicy,
    no_reply: bool,
    config: SQSBrokerConfig,
    title: str | None,
    description: str | None,
    include_in_schema: bool,
) -> SQSSubscriber:
    """A subscriber that is not started; SetupError for options that SQS would refuse."""
    _check("max_workers", max_workers, 1, None)
    _check("batch_size", batch_size, 1, MAX_BATCH_ENTRIES)
    _check("wait_time", wait_time, 0, MAX_WAIT_TIME_S)
    _check("visibility_timeout", visibility_timeout, 1, MAX_VISIBILITY_S)
    _check("attempts", attempts, 1, None)
    _check("pollers", pollers, 1, None)
    _check("prefetch", prefetch, 0, _PREFETCH_S)
    options = SQSSubscriberConfig(
        queue=queue,
        max_workers=max_workers,
        batch_size=batch_size,
        wait_time=wait_time,
        visibility_timeout=visibility_timeout,
        heartbeat=heartbeat,
        retry=retry,
        unwrap_sns=unwrap_sns,
        attempts=attempts,
        batch=batch,
        pollers=pollers or (1 if queue.fifo else _POLLERS),
        prefetch=prefetch,
        no_reply=no_reply,
        _outer_config=config,
        _ack_policy=ack_policy,
    )
    described = SQSSubscriberSpecificationConfig(
        queue=replace(queue, visibility_timeout=visibility_timeout or queue.visibility_timeout),
        title_=title,
        description_=description,
        include_in_schema=include_in_schema,
    )
    calls = CallsCollection[Any]()
    return SQSSubscriber(options, SQSSubscriberSpecification(config, described, calls), calls)


def _check(option: str, value: float | None, low: int, high: int | None) -> None:
    if value is None or (value >= low and (high is None or value <= high)):
        return
    raise SetupError(f"{option} is {low} to {high if high is not None else 'any number'}, not {value}")
