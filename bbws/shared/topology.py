"""Every bus, topic, queue, rule, table, index, bucket and user pool, read from `topology.json`.

Terraform reads the same file. A value refuses impossible settings when it is made. The order of entries means nothing.
"""

from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Annotated, Any, Literal, Self, TypeVar

import orjson
from pydantic import Field, StringConstraints, model_validator

from bbws.shared.contracts.base import Contract
from bbws.shared.settings import Settings

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,80}$")]
# SQS takes 80 characters, and the dead-letter queue's name is four longer.
QueueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,76}$")]
BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")]
EventTypes = Annotated[tuple[str, ...], Field(min_length=1)]

# R-236 ff.: an order message goes to the dead letters after 3 failed attempts.
ATTEMPTS = 3
# SQS's own count (C-36) is the backstop for a message that kills its process, and no second limit: a trial that ends in
# a pause, a deploy or a lost lease is a receive too, and must not use it up (ADR 10).
MAX_RECEIVE_COUNT = 20
DEAD_LETTER_RETENTION_S = 14 * 24 * 3600
PRIMARY_KEY = ("PK", "SK")

NamedT = TypeVar("NamedT", "Queue", "Table")


class Topic(Contract):
    name: Name


class Rule(Contract):
    """What matches `pattern` goes to a topic, which spreads it, or straight to one queue."""

    name: Name
    pattern: dict[str, Any]
    topic: Name | None = None
    queue: QueueName | None = None
    input_path: str
    # Where EventBridge puts what it cannot hand to the target; without one it drops it.
    dead_letter_queue: QueueName

    @property
    def target(self) -> str:
        return self.topic or self.queue or ""

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if (self.topic is None) == (self.queue is None):
            raise ValueError(f"{self.name}: a rule has either a topic or a queue as its target")
        return self


class Queue(Contract):
    name: QueueName
    consumer: Name
    batch_size: Annotated[int, Field(ge=1, le=10)]
    max_workers: Annotated[int, Field(ge=1, le=100)]
    visibility_timeout_s: Annotated[int, Field(ge=1, le=12 * 3600)]
    attempts: Annotated[int, Field(ge=1)] = ATTEMPTS
    max_receive_count: Annotated[int, Field(ge=1, le=1000)] = MAX_RECEIVE_COUNT
    retention_s: Annotated[int, Field(ge=60, le=DEAD_LETTER_RETENTION_S)] = 4 * 24 * 3600
    topic: Name | None = None
    types: EventTypes | None = None

    @property
    def dead_letter_name(self) -> str:
        return f"{self.name}-dlq"

    @property
    def filter_policy(self) -> dict[str, list[str]]:
        """Matched against the body (MessageBody scope): a message from EventBridge has no attributes."""
        return {"type": sorted(self.types or ())}

    @model_validator(mode="after")
    def _leaves_room_for_crashes(self) -> Self:
        if self.max_receive_count <= self.attempts:
            raise ValueError(f"{self.name}: maxReceiveCount must be above attempts ({self.attempts}), see C-36")
        if (self.topic is None) != (self.types is None):
            raise ValueError(f"{self.name}: topic and types belong together")
        return self


class Index(Contract):
    name: Name
    partition: Name
    sort: Name | None = None


class Table(Contract):
    name: Name
    indexes: tuple[Index, ...] = ()
    ttl: Name | None = None

    @property
    def key_attributes(self) -> list[str]:
        """Each attribute that a key uses, once; all of them are strings."""
        names = {*PRIMARY_KEY, *(n for i in self.indexes for n in (i.partition, i.sort) if n)}
        return sorted(names)

    @model_validator(mode="after")
    def _names_each_index_once(self) -> Self:
        _refuse_twice([index.name for index in self.indexes])
        return self


class Bucket(Contract):
    name: BucketName
    role: Literal["templates", "documents"]
    noncurrent_version_days: Mapping[str, Annotated[int, Field(ge=1)]] = {}


class Pool(Contract):
    """Users sign in by e-mail with a password of at least so many characters; length, not kinds of characters, is what
    keeps a password from being guessed (NIST SP 800-63B). Nobody signs up there by themselves."""

    name: Name
    client: Name
    groups: Annotated[tuple[Name, ...], Field(min_length=1)]
    password_min_length: Annotated[int, Field(ge=8, le=99)]


class Topology(Contract):
    bus: Name
    topics: tuple[Topic, ...]
    rules: tuple[Rule, ...]
    queues: tuple[Queue, ...]
    tables: tuple[Table, ...]
    buckets: tuple[Bucket, ...]
    user_pool: Pool

    @classmethod
    def for_settings(cls, settings: Settings) -> Self:
        """The packaged topology with this environment's names in it."""
        text = resources.files(__package__).joinpath("topology.json").read_text()
        document = orjson.loads(text.replace("{env}", settings.environment))
        for bucket in document["buckets"]:
            bucket["name"] += settings.bucket_suffix
        return cls.model_validate(document)

    def queue(self, name: str) -> Queue:
        return _named(self.queues, name)

    def table(self, name: str) -> Table:
        return _named(self.tables, name)

    def bucket(self, role: Literal["templates", "documents"]) -> Bucket:
        return next(bucket for bucket in self.buckets if bucket.role == role)

    def rules_into(self, queue: str) -> tuple[Rule, ...]:
        """The rules that send straight to a queue."""
        return tuple(rule for rule in self.rules if rule.queue == queue)

    def with_visibility_timeout(self, seconds: int) -> Self:
        """The same system that gives a crashed consumer's messages back sooner; for tests."""
        queues = tuple(queue.model_copy(update={"visibility_timeout_s": seconds}) for queue in self.queues)
        return self.model_copy(update={"queues": queues})

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        topics = {topic.name for topic in self.topics}
        wanted = {r.topic for r in self.rules if r.topic} | {q.topic for q in self.queues if q.topic}
        if wanted - topics:
            raise ValueError(f"topics that nothing declares: {sorted(wanted - topics)}")
        targets = {rule.queue for rule in self.rules if rule.queue}
        if unknown := targets - {queue.name for queue in self.queues}:
            raise ValueError(f"queues that nothing declares: {sorted(unknown)}")
        for group in (self.topics, self.rules, self.tables, self.buckets):
            _refuse_twice([item.name for item in group])
        of_rules = [rule.dead_letter_queue for rule in self.rules]
        _refuse_twice([*of_rules, *(name for q in self.queues for name in (q.name, q.dead_letter_name))])
        if sorted(bucket.role for bucket in self.buckets) != ["documents", "templates"]:
            raise ValueError("there must be one bucket for documents and one for templates")
        return self


def _named(items: Iterable[NamedT], name: str) -> NamedT:
    return next(item for item in items if item.name == name)


def _refuse_twice(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"declared twice: {twice}")
