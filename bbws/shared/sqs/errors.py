"""What this package raises, and what a handler may raise beside FastStream's own exceptions.

SQSError
  MessageTooLarge       nothing was sent: body and headers are over the limit of the service
  PartialPublishError   some messages of a batch were sent, some not
  SettlementError       SQS refused to delete or to return a message
  HandlerCancelled      a handler ended by a cancellation that no stop of ours was: an ordinary failure
NackMessage (FastStream)
  ReturnMessage         not now: return the message, without counting this as a failed attempt
  PauseSubscriber       a dependency is out: return the message and stop receiving until a probe succeeds
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from faststream.exceptions import NackMessage

Probe = Callable[[], Awaitable[object]]
"""Asks a dependency whether it works: returns something other than False, or raises."""


class SQSError(Exception):
    """Base of this package's errors."""


class MessageTooLarge(SQSError, ValueError):
    """Body and headers together are over the limit; nothing was sent."""

    def __init__(self, *, size: int, limit: int, service: str) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            f"the message has {size} bytes with its headers; {service} takes at most {limit}. "
            "SQSBroker(payload_bucket=...) stores such bodies in S3."
        )


class SettlementError(SQSError):
    """SQS did not confirm a delete or a return; the message comes back when its visibility timeout ends."""

    def __init__(self, action: str, code: str, reason: str) -> None:
        self.action = action
        self.code = code
        super().__init__(f"{action} was not confirmed by SQS: {code}: {reason}")


@dataclass(frozen=True)
class FailedPublish:
    """A message of a batch that was not confirmed. `maybe_sent`: no answer came, it may have arrived all the same."""

    index: int
    body: Any
    code: str
    reason: str
    maybe_sent: bool


@dataclass(frozen=True)
class SentPublish:
    """A message of a batch that the service confirmed."""

    index: int
    message_id: str


class PartialPublishError(SQSError):
    """Part of a batch was not confirmed. `index` in both lists is the position in the call's arguments."""

    def __init__(self, failed: Sequence[FailedPublish], sent: Sequence[SentPublish]) -> None:
        self.failed = tuple(failed)
        self.sent = tuple(sent)
        first = self.failed[0]
        super().__init__(
            f"{len(self.failed)} of {len(self.failed) + len(self.sent)} messages were not confirmed; "
            f"the first: {first.code}: {first.reason}"
        )


class HandlerCancelled(SQSError):
    """Raised from the CancelledError that a handler met, such as of a task that it awaited."""

    def __init__(self) -> None:
        super().__init__("cancelled, but not by a stop of the subscriber")


class ReturnMessage(NackMessage):
    """Raise it when nothing failed but the time has not come: the message is visible again after `delay` seconds.

    It never goes to the dead letters because of this attempt, which is left out when later failures are counted.
    """

    def __init__(self, *, delay: float) -> None:
        super().__init__(delay=delay)
        self.delay = delay

    def __str__(self) -> str:
        return f"Message was returned for {self.delay:g} s"


class PauseSubscriber(NackMessage):
    """Raise it when a dependency is out: the message returns, and nothing is received until `probe` succeeds.

    The message is visible again after `delay` seconds, or as soon as the probe succeeds; it never goes to the
    dead letters because of this attempt, and this attempt is left out when its later failures are counted. `probe`
    is asked after 1 s, then at growing intervals of up to 10 s; afterwards one message is tried before the
    subscriber receives as before.
    """

    def __init__(self, *, reason: str, probe: Probe, delay: float = 30) -> None:
        super().__init__(delay=delay)
        self.reason = reason
        self.probe = probe
        self.delay = delay

    def __str__(self) -> str:
        return f"Message was returned, subscriber pauses: {self.reason}"
