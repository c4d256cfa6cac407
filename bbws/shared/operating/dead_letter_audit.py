"""What is done to dead letters stands in the platform's audit trail.

SQS and DynamoDB share no transaction. So one entry says what is to be done before the first letter is touched, and one
with the same correlation id what came of it; the first without the second is a process that died on the way, and the
log has a line for each letter that it took.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bbws.shared.ids import new_id
from bbws.shared.operating.dead_letter import DeadLetter
from bbws.shared.operating.dead_letter_queues import DeadLetterQueue
from bbws.shared.tenancy.services.audit_trails import AuditTrails

MAX_IDS = 100


@asynccontextmanager
async def audited(
    audits: AuditTrails, deed: str, queue: DeadLetterQueue, asked: Mapping[str, str | None], *, actor: str
) -> AsyncIterator[list[DeadLetter]]:
    """A list for the letters that leave their queue, in that order.

    `deed` is REDRIVE, EDIT, ARCHIVE or DROP; `asked` says which letters were chosen, and how. Raises Unavailable before
    anything is touched when the trail cannot be written.
    """
    flow = new_id()
    given = {name: value for name, value in asked.items() if value is not None}
    taken: list[DeadLetter] = []

    async def record(stage: str, after: Mapping[str, Any]) -> None:
        action = f"DEAD_LETTERS_{deed}_{stage}"
        await audits.record(action, subject=f"queues/{queue.name}", actor=actor, after=after, correlation_id=flow)

    await record("BEGUN", given)
    try:
        yield taken
    except BaseException as error:
        await record("FAILED", given | _outcome(taken) | {"error": str(error) or type(error).__name__})
        raise
    await record("DONE", given | _outcome(taken))


def _outcome(taken: list[DeadLetter]) -> dict[str, Any]:
    """How many letters left the queue, and the first of them by id."""
    return {"count": len(taken), "messageIds": [letter.id for letter in taken[:MAX_IDS]]}
