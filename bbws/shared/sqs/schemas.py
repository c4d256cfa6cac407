"""What queues and topics are: their names, and what `declare=True` creates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from faststream.exceptions import SetupError

from .limits import MAX_DELAY_S, MAX_RETENTION_S, MAX_VISIBILITY_S, MIN_RETENTION_S

FilterScope = Literal["MessageAttributes", "MessageBody"]
_FIFO_SUFFIX = ".fifo"
# Of a queue with dead letters that is to be made, where nothing else is said.
DEFAULT_MAX_RECEIVE_COUNT = 5


def is_plain_name(name: str) -> bool:
    """Whether it is a name rather than a URL or ARN; only names take a router's prefix."""
    return not name.startswith(("http://", "https://", "arn:"))


def short_name(name: str) -> str:
    """The name at the end of a URL or ARN."""
    return name.rstrip("/").replace(":", "/").rsplit("/", 1)[-1]


@dataclass(frozen=True)
class SNSTopic:
    """A topic, by name or ARN. `declare` overrides the broker's setting."""

    name: str
    fifo: bool = False
    declare: bool | None = None

    def __post_init__(self) -> None:
        _settle_fifo(self)


@dataclass(frozen=True)
class TopicLink:
    """A subscription of a queue to a topic; `raw` delivers the published body without SNS's envelope."""

    topic: SNSTopic | str
    raw: bool = True
    filter_policy: Mapping[str, Any] | None = None
    filter_scope: FilterScope = "MessageAttributes"

    @property
    def target(self) -> SNSTopic:
        """The topic as a value."""
        return as_topic(self.topic)


@dataclass(frozen=True)
class SQSQueue:
    """A queue, by name, URL or ARN, with what `declare=True` gives it; all times in seconds.

    `max_receive_count` is SQS's own: a message received more often than that moves to `dead_letter`.
    """

    name: str
    fifo: bool = False
    declare: bool | None = None
    visibility_timeout: int | None = None
    max_receive_count: int | None = None
    dead_letter: "SQSQueue | str | None" = None
    delay: int | None = None
    retention: int | None = None
    content_based_deduplication: bool = False
    topics: Sequence[TopicLink] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _settle_fifo(self)
        if self.content_based_deduplication and not self.fifo:
            raise SetupError(f"{self.name}: content_based_deduplication is for FIFO queues")
        if self.max_receive_count is not None and self.max_receive_count < 1:
            raise SetupError(f"{self.name}: max_receive_count is at least 1")
        _check_range(self.name, "visibility_timeout", self.visibility_timeout, 0, MAX_VISIBILITY_S)
        _check_range(self.name, "delay", self.delay, 0, MAX_DELAY_S)
        _check_range(self.name, "retention", self.retention, MIN_RETENTION_S, MAX_RETENTION_S)

    @property
    def dead_letter_queue(self) -> "SQSQueue | None":
        """The queue for dead letters as a value; FIFO exactly when this one is."""
        if self.dead_letter is None or isinstance(self.dead_letter, SQSQueue):
            return self.dead_letter
        return SQSQueue(self.dead_letter, fifo=self.fifo)


def _settle_fifo(destination: SQSQueue | SNSTopic) -> None:
    """AWS wants `.fifo` at the end of a FIFO name: either tells the other."""
    suffixed = destination.name.endswith(_FIFO_SUFFIX)
    if destination.fifo and not suffixed:
        object.__setattr__(destination, "name", destination.name + _FIFO_SUFFIX)
    elif suffixed:
        object.__setattr__(destination, "fifo", True)


def _check_range(queue: str, option: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise SetupError(f"{queue}: {option} is {low} to {high} seconds, not {value}")


def as_queue(queue: SQSQueue | str) -> SQSQueue:
    """A queue given by its name alone or already as a value."""
    return queue if isinstance(queue, SQSQueue) else SQSQueue(queue)


def as_topic(topic: SNSTopic | str) -> SNSTopic:
    """A topic given by its name alone or already as a value."""
    return topic if isinstance(topic, SNSTopic) else SNSTopic(topic)


@dataclass(frozen=True)
class Destination:
    """Where a publish goes."""

    name: str
    is_topic: bool = False

    @classmethod
    def of(
        cls, queue: "SQSQueue | SNSTopic | str | None", topic: "SNSTopic | str | None", prefix: str = ""
    ) -> "Destination":
        """From the two arguments of `publish`, of which exactly one must be given."""
        if (not queue) == (not topic):
            raise SetupError("publish to either a queue or a topic")
        if topic:
            return cls(prefixed(as_topic(topic).name, prefix), is_topic=True)
        if isinstance(queue, SNSTopic):
            return cls(prefixed(queue.name, prefix), is_topic=True)
        name = as_queue(queue or "").name
        return cls(prefixed(name, prefix), is_topic=name.startswith("arn:") and ":sns:" in name)


def prefixed(name: str, prefix: str) -> str:
    """The name under a router's prefix; URLs and ARNs stay as they are."""
    return prefix + name if prefix and is_plain_name(name) else name
