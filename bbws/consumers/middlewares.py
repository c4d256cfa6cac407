"""What every message goes through: ids into the log lines, errors into a verdict on the message."""

from collections.abc import Callable
from typing import Any

from faststream import BaseMiddleware
from faststream.exceptions import IgnoredException, RejectMessage
from pydantic import ValidationError

from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.sales.order_events import InvoiceIssued, OrderCreated
from bbws.shared.core.audit import acting
from bbws.shared.errors import Dependency, NotYet, Ping, Rejected, Unavailable
from bbws.shared.logging import bind, bound, get_logger
from bbws.shared.sqs import PauseSubscriber, ReturnMessage

# A dependency that has no ping cannot be waited for; its message comes again after this.
UNASKABLE_RETURN_S = 30
# Whoever sends a message chooses how much is wrong with it, and with which names.
_MAX_ERRORS, _MAX_ERROR_CHARS = 20, 300

log = get_logger(__name__)


def bind_flow(event: Envelope) -> None:
    """Every later log line of this message carries the ids of its flow."""
    if isinstance(event, OrderCreated | InvoiceIssued):
        bind(order_id=event.data.order.id)
    bind(
        correlation_id=event.correlationid,
        tenant_id=event.tenantid,
        event_id=event.id,
        event_type=event.type,
        traceparent=event.traceparent,
    )


def verdict(error: Exception, ping_of: Callable[[Dependency], Ping | None]) -> Exception:
    """What an error means for its message (C-37).

    What can never work goes to the dead letters at once, with its reason; what a dependency's outage caused waits for
    the dependency; anything else is a failed attempt.
    """
    match error:
        case NotYet():
            return ReturnMessage(delay=error.retry_after_s)
        case Unavailable():
            ping = ping_of(error.dependency)
            if ping is None:
                return ReturnMessage(delay=UNASKABLE_RETURN_S)
            return PauseSubscriber(reason=str(error), probe=ping)
        case Rejected():
            return RejectMessage(reason=f"{error.title}: {error.detail}")
        case ValidationError():
            return RejectMessage(reason=f"does not parse: {_field_errors(error)}")
    return error


def verdicts(
    ping_of: Callable[[Dependency], Ping | None], consumer_of: Callable[[str], str]
) -> type[BaseMiddleware[Any, Any]]:
    """The middleware that turns errors of handlers into verdicts; what they change is audited as their consumer's."""

    class Verdicts(BaseMiddleware[Any, Any]):
        async def consume_scope(self, call_next: Any, msg: Any) -> Any:
            ids = {"message_id": msg.message_id, "queue": msg.queue, "receive_count": msg.receive_count}
            with bound(**ids), acting(consumer_of(msg.queue)):
                try:
                    return await call_next(msg)
                except IgnoredException:
                    raise
                except Exception as error:
                    judged = verdict(error, ping_of)
                    reason = _field_errors(error) if isinstance(error, ValidationError) else str(error)
                    log.warning("message not handled", reason=reason, verdict=type(judged).__name__)
                    raise judged from error

    return Verdicts


def _field_errors(error: ValidationError) -> str:
    """Field errors in one line, never the values, which may be personal; of a hundred thousand the first."""
    told = [
        f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}"[:_MAX_ERROR_CHARS]
        for entry in error.errors(include_input=False)[:_MAX_ERRORS]
    ]
    more = error.error_count() - len(told)
    return "; ".join([*told, f"and {more} more"] if more else told)
