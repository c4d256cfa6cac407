"""What `bbws dlq` does to dead letters stands in the platform's audit trail.

SQS and DynamoDB share no transaction. So one entry says what is to be done before the first letter is touched, and one
with the same correlation id what came of it; the first without the second is a command that died on the way, and the
log has a line for each letter that it took.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bbws.shared.ids import new_id
from bbws.shared.operating.dead_letters import DeadLetters
from bbws.shared.tenancy.services.audits import Audits

MOST_IDS = 100


@asynccontextmanager
async def audited(
    audits: Audits,
    dead_letters: DeadLetters,
    deed: str,
    queue: str,
    *,
    actor: str,
    asked: Mapping[str, str | None],
) -> AsyncIterator[None]:
    """`deed` is REDRIVE, EDIT, ARCHIVE or DROP; `asked` says which letters were chosen, and how.

    Raises NotFound for an unknown queue, and Unavailable before anything is touched when the trail cannot be written.
    """
    subject, flow = f"queues/{dead_letters.full_name(queue)}", new_id()

    async def record(stage: str, after: Mapping[str, Any]) -> None:
        action = f"DEAD_LETTERS_{deed}_{stage}"
        await audits.record(action, subject=subject, actor=actor, after=after, correlation_id=flow)

    given = {name: value for name, value in asked.items() if value is not None}
    await record("BEGUN", given)
    try:
        yield
    except BaseException as error:
        await record("FAILED", given | _outcome(dead_letters) | {"error": str(error) or type(error).__name__})
        raise
    await record("DONE", given | _outcome(dead_letters))


def _outcome(dead_letters: DeadLetters) -> dict[str, Any]:
    """How many letters left the queue, and the first of them by id."""
    taken = dead_letters.taken
    return {"count": len(taken), "messageIds": [letter.id for letter in taken[:MOST_IDS]]}
