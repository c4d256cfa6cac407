"""What becomes of dead letters: sent back, mended, archived or dropped, and told in the audit trail.

AWS's own StartMessageMoveTask can neither choose nor show a message, so this is our loop: receive, look, give back,
or send to the source queue and then delete (a crash in between leaves two copies, never none).
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import orjson

from bbws.shared.errors import Conflict, NotFound
from bbws.shared.ids import new_id
from bbws.shared.integrations.document_store import DocumentStore
from bbws.shared.logging import get_logger
from bbws.shared.operating.dead_letter import DeadLetter, is_json
from bbws.shared.operating.dead_letter_audit import audited
from bbws.shared.operating.dead_letter_choice import Choice
from bbws.shared.operating.dead_letter_queues import DeadLetterQueue, DeadLetterQueues, HeldLetters
from bbws.shared.tenancy.services.audit_trails import AuditTrails

log = get_logger(__name__)


class DeadLetters:
    """Each deed is of the first 1,000 letters of a queue, says how many it took, and is told before and after.

    All of them raise NotFound for a queue that is not declared, and Unavailable for an AWS that is out of reach.
    """

    def __init__(self, queues: DeadLetterQueues, audits: AuditTrails, store: DocumentStore) -> None:
        self.queues = queues
        self._audits = audits
        self._store = store

    async def redrive(self, queue_name: str, choice: Choice, *, actor: str, per_second: float | None = None) -> int:
        """Those chosen are in their source queue again, as they were before they failed.

        `per_second` spares the consumers; the others stay hidden as long as that takes.
        Raises Conflict for a rule's: what lies there never was in a queue.
        """
        queue = self.queues.get(queue_name)
        async with audited(self._audits, "REDRIVE", queue, _asked(choice), actor=actor) as taken:
            source = _source(queue)
            async with self.queues.held(queue) as held:
                async for letter in _paced(held, choice, per_second):
                    # Sent first: a crash in between leaves it in both queues, never in none.
                    await self.queues.send(source, letter.body, letter.before_it_died())
                    await held.delete(letter)
                    taken.append(letter)
                    log.info("dead letter redriven", queue=source, message_id=letter.id, reason=letter.reason)
            return len(taken)

    async def edit(self, queue_name: str, message_id: str, content: bytes, *, actor: str) -> str:
        """The payload of one letter is `content`, its headers and story are as they were; the copy's new id.

        Raises NotFound, and Conflict where JSON would become something else: no consumer could read it.
        """
        queue = self.queues.get(queue_name)
        asked = {"messageId": message_id, "payloadSha256": hashlib.sha256(content).hexdigest()}
        async with (
            audited(self._audits, "EDIT", queue, asked, actor=actor) as taken,
            self.queues.held(queue) as held,
        ):
            letter = _only(held, message_id, queue)
            if letter.is_json and not is_json(content):
                raise Conflict("the payload was JSON and the new one is not")
            edited_id = await self.queues.send(queue.name, *letter.with_content(content))
            await held.delete(letter)
            taken.append(letter)
            log.warning("dead letter edited", queue=queue.name, message_id=letter.id, edited_message_id=edited_id)
        return edited_id

    async def archive(self, queue_name: str, choice: Choice, *, actor: str, file: Path | None = None) -> int:
        """Those chosen are JSON lines with all that a repair needs, and gone from the queue.

        They are in the bucket of documents, or behind what is in `file`.
        """
        queue = self.queues.get(queue_name)
        asked = _asked(choice) | {"file": str(file) if file else None}
        async with (
            audited(self._audits, "ARCHIVE", queue, asked, actor=actor) as taken,
            self.queues.held(queue) as held,
        ):
            if chosen := held.chosen(choice):
                lines = b"".join(orjson.dumps(letter.archived()) + b"\n" for letter in chosen)
                # Stored first: a crash in between leaves them in both places, never in none.
                where = await self._store_in_bucket(queue, lines) if file is None else _append(file, lines)
                for letter in chosen:
                    await held.delete(letter)
                    taken.append(letter)
                    log.info("dead letter archived", queue=queue.name, message_id=letter.id, archive=where)
            return len(taken)

    async def drop(self, queue_name: str, choice: Choice, *, actor: str) -> int:
        """Those chosen are gone for good."""
        queue = self.queues.get(queue_name)
        async with (
            audited(self._audits, "DROP", queue, _asked(choice), actor=actor) as taken,
            self.queues.held(queue) as held,
        ):
            for letter in held.chosen(choice):
                log.warning("dead letter dropped", queue=queue.name, message_id=letter.id, reason=letter.reason)
                await held.delete(letter)
                taken.append(letter)
            return len(taken)

    async def _store_in_bucket(self, queue: DeadLetterQueue, lines: bytes) -> str:
        key = f"dead-letters/{queue.name.removesuffix('-dlq')}/{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{new_id()}.jsonl"
        await self._store.put_once(key, lines, "application/jsonl")
        return key


async def _paced(held: HeldLetters, choice: Choice, per_second: float | None) -> AsyncIterator[DeadLetter]:
    """Those chosen, one after the other; all that is held stays hidden however long it takes."""
    for letter in held.chosen(choice):
        await held.hold_on()
        yield letter
        if per_second is not None:
            await asyncio.sleep(1 / per_second)


def _source(queue: DeadLetterQueue) -> str:
    if queue.source is None:
        raise Conflict(
            f"{queue.name} holds events that EventBridge could not deliver, and redriving those is not possible "
            "yet: put each on the bus again (aws events put-events), then drop it here"
        )
    return queue.source


def _only(held: HeldLetters, message_id: str, queue: DeadLetterQueue) -> DeadLetter:
    for letter in held.chosen(Choice(message_id=message_id)):
        return letter
    raise NotFound(f"there is no dead letter {message_id} in {queue.name}")


def _append(file: Path, lines: bytes) -> str:
    with file.open("ab") as archive:
        archive.write(lines)
    return str(file)


def _asked(choice: Choice) -> dict[str, str | None]:
    return {"messageId": choice.message_id, "reason": choice.reason}
