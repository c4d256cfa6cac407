"""What the commands of `bbws dlq` do."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bbws.commands.console_lines import printable
from bbws.commands.services import services_of
from bbws.shared.bootstrap import aws_clients
from bbws.shared.integrations.queues import Queues
from bbws.shared.operating.dead_letter_choice import Choice
from bbws.shared.operating.dead_letter_queues import DeadLetterQueues, Summary
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology


async def summaries(settings: Settings) -> list[Summary]:
    async with _queues(settings) as queues:
        return await queues.summaries()


async def show(settings: Settings, queue: str, choice: Choice) -> list[dict[str, Any]]:
    async with _queues(settings) as queues:
        return [letter.shown() for letter in await queues.find(queue, choice)]


async def redrive(
    settings: Settings, actor: str, queue: str, choice: Choice, *, per_second: float | None = None
) -> int:
    async with services_of(settings) as services:
        return await services.dead_letters.redrive(queue, choice, actor=actor, per_second=per_second)


async def edit(settings: Settings, actor: str, queue: str, message_id: str, content: bytes) -> str:
    """The id of the letter that has the new payload."""
    async with services_of(settings) as services:
        return await services.dead_letters.edit(queue, message_id, content, actor=actor)


async def archive(settings: Settings, actor: str, queue: str, choice: Choice, *, file: Path | None = None) -> int:
    """Into `file`, behind what is there; without one into the bucket of documents."""
    async with services_of(settings) as services:
        return await services.dead_letters.archive(queue, choice, actor=actor, file=file)


async def drop(settings: Settings, actor: str, queue: str, choice: Choice) -> int:
    async with services_of(settings) as services:
        return await services.dead_letters.drop(queue, choice, actor=actor)


def lines_of(found: Sequence[Summary]) -> list[str]:
    """A line for each queue, and below it one for each reason."""
    lines, width = [], max(len(summary.queue) for summary in found)
    for summary in found:
        oldest = f", oldest from {summary.oldest:%Y-%m-%d %H:%M} UTC" if summary.oldest else ""
        lines.append(f"{summary.queue:<{width}} {summary.depth:>5}{oldest}")
        lines += [
            f"{'':<{width}} {count:>5}  {printable(f'{contract}: {reason}')}"
            for (reason, contract), count in summary.by_reason
        ]
    return lines


def document_of(summary: Summary) -> dict[str, Any]:
    return {
        "queue": summary.queue,
        "depth": summary.depth,
        "oldest": summary.oldest.isoformat() if summary.oldest else None,
        "byReason": [{"reason": r, "contract": c, "count": n} for (r, c), n in summary.by_reason],
    }


@asynccontextmanager
async def _queues(settings: Settings) -> AsyncIterator[DeadLetterQueues]:
    """Looking needs SQS and nothing else, whatever else is out."""
    async with aws_clients(settings) as clients:
        sqs = Queues(partial(clients.get, "sqs"))
        yield DeadLetterQueues(sqs, Topology.for_settings(settings), wait_s=settings.receive_wait_s)
