"""Builds a publisher from the arguments of `broker.publisher`."""

from typing import Any

from faststream.exceptions import SetupError

from ..broker.config import SQSBrokerConfig
from ..schemas import Destination, SNSTopic, SQSQueue, as_queue, as_topic
from .specification import SQSPublisherSpecification, SQSPublisherSpecificationConfig
from .usecase import SQSPublisher, SQSPublisherConfig


def create_publisher(
    *,
    queue: SQSQueue | SNSTopic | str | None,
    topic: SNSTopic | str | None,
    headers: dict[str, Any] | None,
    reply_to: str,
    group_id: str | None,
    batch: bool,
    config: SQSBrokerConfig,
    title: str | None,
    description: str | None,
    schema: Any | None,
    include_in_schema: bool,
) -> SQSPublisher:
    """A publisher to one queue or one topic; SetupError for both or neither."""
    to = Destination.of(queue, topic)
    target = _target(queue, topic, to)
    options = SQSPublisherConfig(
        target=target,
        to=to,
        headers=headers or {},
        reply_to=reply_to,
        group_id=group_id,
        batch=batch,
        _outer_config=config,
    )
    described = SQSPublisherSpecificationConfig(
        target=target, title_=title, description_=description, schema_=schema, include_in_schema=include_in_schema
    )
    return SQSPublisher(options, SQSPublisherSpecification(config, described))


def _target(
    queue: SQSQueue | SNSTopic | str | None, topic: SNSTopic | str | None, to: Destination
) -> SQSQueue | SNSTopic:
    given = topic or queue
    if isinstance(given, SQSQueue | SNSTopic):
        return given
    if given is None:
        raise SetupError("publish to either a queue or a topic")
    return as_topic(given) if to.is_topic else as_queue(given)
