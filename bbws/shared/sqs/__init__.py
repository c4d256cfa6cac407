"""SQS and SNS for FastStream. Guide and table of options: docs/sqs.md.

Public are the names below and the modules `annotations`, `dead_letters` (headers of dead letters), `opentelemetry`,
`prometheus`, `signed` (calls to other services as well), `testing` and `wire` (the format of bodies and headers).
Everything else may change in any release.
"""

from .annotations import SQSBatchMessage, SQSMessage
from .backoff import Backoff
from .broker.broker import SQSBroker
from .broker.router import SQSPublisher, SQSRoute, SQSRouter
from .errors import (
    FailedPublish,
    MessageTooLarge,
    PartialPublishError,
    PauseSubscriber,
    ReturnMessage,
    SentPublish,
    SettlementError,
    SQSError,
)
from .payloads import PayloadBucket
from .response import SQSPublishCommand, SQSResponse
from .schemas import SNSTopic, SQSQueue, TopicLink
from .subscriber.usecase import SQSSubscriber
from .testing import TestSQSBroker

__all__ = (
    "Backoff",
    "FailedPublish",
    "MessageTooLarge",
    "PartialPublishError",
    "PauseSubscriber",
    "PayloadBucket",
    "ReturnMessage",
    "SNSTopic",
    "SQSBatchMessage",
    "SQSBroker",
    "SQSError",
    "SQSMessage",
    "SQSPublishCommand",
    "SQSPublisher",
    "SQSQueue",
    "SQSResponse",
    "SQSRoute",
    "SQSRouter",
    "SQSSubscriber",
    "SentPublish",
    "SettlementError",
    "TestSQSBroker",
    "TopicLink",
)
