"""Options of a subscriber."""

from dataclasses import dataclass, field

from faststream import AckPolicy

from .._internal import EMPTY, SubscriberSpecificationConfig, SubscriberUsecaseConfig
from ..backoff import Backoff
from ..broker.config import SQSBrokerConfig
from ..parser import UnwrapSNS
from ..schemas import SQSQueue


@dataclass(kw_only=True)
class SQSSubscriberSpecificationConfig(SubscriberSpecificationConfig):
    queue: SQSQueue


@dataclass(kw_only=True)
class SQSSubscriberConfig(SubscriberUsecaseConfig):
    _outer_config: SQSBrokerConfig = field(default_factory=SQSBrokerConfig)

    queue: SQSQueue
    max_workers: int
    batch_size: int
    wait_time: int
    visibility_timeout: int | None
    heartbeat: bool
    retry: Backoff
    unwrap_sns: UnwrapSNS
    attempts: int | None
    batch: bool
    pollers: int
    prefetch: float

    @property
    def ack_policy(self) -> AckPolicy:
        """Its own, else its router's or broker's, else NACK_ON_ERROR: FastStream's ACK would lose what failed."""
        for policy in (self._ack_policy, self._outer_config.ack_policy):
            if policy is not EMPTY:
                return policy
        return AckPolicy.NACK_ON_ERROR
