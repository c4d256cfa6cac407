"""The audit entry of a change, to be written in the transaction of the change itself.

`acting(source)` says for the running task where changes come from: the address of a caller, or a process.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import orjson
from pydantic import BaseModel

from bbws.shared.clock import Clock
from bbws.shared.contracts.audit import AuditDetails, AuditEntry
from bbws.shared.core.audit_entries import AuditRepository
from bbws.shared.dynamo.database import Put
from bbws.shared.ids import new_id
from bbws.shared.logging import bound_value

_SOURCE: ContextVar[str] = ContextVar("audit_source", default="unknown")
_SALT_BYTES = 16

# What is audited, as a contract or as the JSON of what matters in one.
State = BaseModel | Mapping[str, Any] | None


@contextmanager
def acting(source: str) -> Iterator[None]:
    """Entries made meanwhile by this task, and by those that it starts, name `source`."""
    token = _SOURCE.set(source)
    try:
        yield
    finally:
        _SOURCE.reset(token)


class AuditEntries:
    def __init__(self, repository: AuditRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock

    def entry(
        self,
        action: str,
        *,
        tenant_id: str,
        subject: str,
        actor: str,
        before: State = None,
        after: State = None,
        reason: str | None = None,
        correlation_id: str | None = None,
    ) -> Put:
        """The write that says so; of `before` and `after` it keeps what differs.

        `action` is the event's name where there is one (TENANT_PARKED), `subject` what was changed as a path
        (`orders/{id}`), `tenant_id` may be PLATFORM. Without `correlation_id` it is that of the running task. Nothing
        personal belongs into `subject` or `actor`: only details can be erased.
        """
        old, new = _dumped(before), _dumped(after)
        details = AuditDetails(
            salt=secrets.token_hex(_SALT_BYTES),
            source=_SOURCE.get(),
            reason=reason,
            before={name: value for name, value in old.items() if new.get(name) != value},
            after={name: value for name, value in new.items() if old.get(name) != value},
        )
        entry_id = new_id()
        entry = AuditEntry(
            id=entry_id,
            tenant_id=tenant_id,
            at=self._clock(),
            action=action,
            subject=subject,
            actor=actor,
            correlation_id=correlation_id or bound_value("correlation_id") or entry_id,
            digest=digest_of(details),
            details=details,
        )
        return self._repository.new(entry)


def digest_of(details: AuditDetails) -> str:
    """SHA-256 of the details as canonical JSON; a field that a later version adds changes nothing while it is None."""
    canonical = orjson.dumps(details.model_dump(mode="json", exclude_none=True), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _dumped(state: State) -> dict[str, Any]:
    if isinstance(state, BaseModel):
        return state.model_dump(mode="json", exclude_none=True)
    return dict(state or {})
