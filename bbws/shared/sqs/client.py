"""The calls this package makes to AWS, and their implementation on aiobotocore.

Where its clients for SQS are `signed.SignedClient`s, the `HOT_CALLS` skip botocore while everything is well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from . import limits
from .outgoing import Outgoing

AWS_ERRORS = (ClientError, BotoCoreError, OSError, TimeoutError)
"""What a call raises when AWS refuses it, cannot be reached or does not answer."""


class UnreadableAnswer(BotoCoreError):  # type: ignore[misc]
    """AWS answered, but not to what was asked: whether anything happened is not known."""

    fmt = "AWS answered without saying what it did: {missing} missing"


RECEIVE = "receive_message"
HOT_CALLS = (
    RECEIVE,
    "delete_message_batch",
    "change_message_visibility_batch",
    "send_message",
    "send_message_batch",
)
_SYSTEM_ATTRIBUTES = [
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
    "MessageGroupId",
    "SentTimestamp",
]
_SERVER_ERROR = 500
_GONE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})


@dataclass(frozen=True)
class Failure:
    """One entry of a batch call that was refused. `sender_fault`: the same again would be refused again."""

    index: int
    code: str
    reason: str
    sender_fault: bool


@dataclass(frozen=True)
class BatchResult:
    """Message ids by index of what was confirmed (empty for calls that make none), and what was refused."""

    sent: Mapping[int, str]
    failed: Sequence[Failure]


class Client(Protocol):
    """What the broker needs of SQS and SNS. Batch calls take at most ten entries and report by index."""

    @property
    def region(self) -> str | None:
        """Where it works; None where that makes no difference."""

    async def receive(
        self, queue_url: str, *, max_messages: int, wait_s: int, visibility_timeout_s: int | None
    ) -> list[dict[str, Any]]:
        """Up to `max_messages`, waiting at most `wait_s` for the first. Must never be cancelled: it loses messages."""

    async def delete_batch(self, queue_url: str, receipt_handles: Sequence[str]) -> Sequence[Failure]: ...

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        """Set seconds from now for (receipt handle, seconds)."""

    async def send(self, queue_url: str, message: Outgoing) -> str: ...

    async def send_batch(self, queue_url: str, messages: Sequence[Outgoing]) -> BatchResult: ...

    async def publish(self, topic_arn: str, message: Outgoing) -> str: ...

    async def publish_batch(self, topic_arn: str, messages: Sequence[Outgoing]) -> BatchResult: ...

    async def queue_url(self, name: str, account: str | None) -> str: ...

    async def queue_attributes(self, queue_url: str) -> dict[str, str]: ...

    async def topic_arn(self, name: str) -> str: ...

    async def reachable(self) -> bool:
        """Whether the service answers with these credentials."""


def is_queue_gone(error: BaseException) -> bool:
    """Whether the call failed because the queue does not exist."""
    return error_code(error) in _GONE


def error_code(error: BaseException) -> str:
    """AWS's code of an error, or the class of one that did not come from AWS."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def is_refusal(error: BaseException) -> bool:
    """Whether AWS says that it did nothing; after an error of its own, or without an answer, nobody knows."""
    if not isinstance(error, ClientError):
        return False
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) < _SERVER_ERROR


class BotocoreClient:
    """`Client` on aiobotocore; keeps its service clients open from `connect` to `close`.

    `polls` is a second client for SQS: what waits for messages must not keep the connections of what settles them.
    """

    def __init__(self, sqs: Any, polls: Any, sns: Any, sts: Any, *, region: str) -> None:
        self.sqs = sqs
        self.polls = polls
        self.sns = sns
        self._sts = sts
        self.region: str | None = region
        self._topic_prefix: str | None = None

    async def receive(
        self, queue_url: str, *, max_messages: int, wait_s: int, visibility_timeout_s: int | None
    ) -> list[dict[str, Any]]:
        lease = {} if visibility_timeout_s is None else {"VisibilityTimeout": visibility_timeout_s}
        arguments = {
            "QueueUrl": queue_url,
            "MaxNumberOfMessages": max_messages,
            "WaitTimeSeconds": wait_s,
            "MessageSystemAttributeNames": _SYSTEM_ATTRIBUTES,
            "MessageAttributeNames": ["All"],
            **lease,
        }
        return (await self._call(RECEIVE, arguments)).get("Messages") or []

    async def delete_batch(self, queue_url: str, receipt_handles: Sequence[str]) -> Sequence[Failure]:
        # Ids are positions: a message received twice may stand twice in one call.
        entries = [{"Id": str(i), "ReceiptHandle": handle} for i, handle in enumerate(receipt_handles)]
        return await self._entries("delete_message_batch", queue_url, entries)

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        changes = [
            {"Id": str(i), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for i, (handle, seconds) in enumerate(entries)
        ]
        return await self._entries("change_message_visibility_batch", queue_url, changes)

    async def send(self, queue_url: str, message: Outgoing) -> str:
        answer = await self._call("send_message", {"QueueUrl": queue_url, **sqs_entry(message)})
        return str(_field(answer, "MessageId"))

    async def send_batch(self, queue_url: str, messages: Sequence[Outgoing]) -> BatchResult:
        entries = [{"Id": str(i), **sqs_entry(message)} for i, message in enumerate(messages)]
        answer = await self._call("send_message_batch", {"QueueUrl": queue_url, "Entries": entries})
        return _batch_result(answer, len(entries))

    async def publish(self, topic_arn: str, message: Outgoing) -> str:
        answer = await self.sns.publish(TopicArn=topic_arn, **sns_entry(message))
        return str(_field(answer, "MessageId"))

    async def publish_batch(self, topic_arn: str, messages: Sequence[Outgoing]) -> BatchResult:
        entries = [{"Id": str(i), **sns_entry(message)} for i, message in enumerate(messages)]
        answer = await self.sns.publish_batch(TopicArn=topic_arn, PublishBatchRequestEntries=entries)
        return _batch_result(answer, len(entries))

    async def _call(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One of SQS's hot calls, by aiobotocore's name of it."""
        sqs = self.polls if method == RECEIVE else self.sqs
        answer: dict[str, Any] = await getattr(sqs, method)(**arguments)
        return answer

    async def _entries(self, method: str, queue_url: str, entries: Sequence[dict[str, Any]]) -> Sequence[Failure]:
        answer = await self._call(method, {"QueueUrl": queue_url, "Entries": entries})
        return _batch_result(answer, len(entries)).failed

    async def queue_url(self, name: str, account: str | None) -> str:
        owner = {} if account is None else {"QueueOwnerAWSAccountId": account}
        answer = await self.sqs.get_queue_url(QueueName=name, **owner)
        return str(_field(answer, "QueueUrl"))

    async def queue_attributes(self, queue_url: str) -> dict[str, str]:
        answer = await self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
        attributes: dict[str, str] = _field(answer, "Attributes")
        return attributes

    async def topic_arn(self, name: str) -> str:
        """SNS has no lookup by name: the ARN is put together from who and where we are."""
        if self._topic_prefix is None:
            identity = await self._sts.get_caller_identity()
            partition = identity["Arn"].split(":")[1]
            self._topic_prefix = f"arn:{partition}:sns:{self.region}:{identity['Account']}:"
        return self._topic_prefix + name

    async def reachable(self) -> bool:
        try:
            await self.sqs.list_queues(MaxResults=1)
        except ClientError as error:
            # An answer all the same; a role that may only use its own queues must not list them.
            return error_code(error) in {"AccessDenied", "AccessDeniedException"}
        except AWS_ERRORS:
            return False
        return True


def sqs_entry(message: Outgoing) -> dict[str, Any]:
    """Arguments of SendMessage, or an entry of SendMessageBatch without its Id."""
    entry: dict[str, Any] = {"MessageBody": message.body} | _common(message)
    if message.delay_s is not None:
        entry["DelaySeconds"] = message.delay_s
    return entry


def sns_entry(message: Outgoing) -> dict[str, Any]:
    """Arguments of Publish, or an entry of PublishBatch without its Id."""
    entry: dict[str, Any] = {"Message": message.body} | _common(message)
    if message.subject:
        entry["Subject"] = message.subject
    return entry


def _common(message: Outgoing) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if message.attributes:
        entry["MessageAttributes"] = message.attributes
    if message.group_id:
        entry["MessageGroupId"] = message.group_id
    if message.deduplication_id:
        entry["MessageDeduplicationId"] = message.deduplication_id
    return entry


def _field(answer: Mapping[str, Any], name: str) -> Any:
    try:
        return answer[name]
    except KeyError:
        raise UnreadableAnswer(missing=name) from None


def _batch_result(answer: Mapping[str, Any], entries: int) -> BatchResult:
    """What SQS says of each entry; an answer that leaves one out confirms nothing."""
    sent = {int(_field(e, "Id")): str(e.get("MessageId", "")) for e in answer.get("Successful") or ()}
    failed = [
        Failure(int(_field(e, "Id")), e.get("Code", "Unknown"), e.get("Message", ""), bool(e.get("SenderFault")))
        for e in answer.get("Failed") or ()
    ]
    if len(sent) + len(failed) < entries:
        raise UnreadableAnswer(missing="entries of a batch")
    return BatchResult(sent, failed)


def in_batches(entries: Sequence[Any]) -> list[Sequence[Any]]:
    """Slices of at most ten."""
    size = limits.MAX_BATCH_ENTRIES
    return [entries[start : start + size] for start in range(0, len(entries), size)]
