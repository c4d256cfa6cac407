"""`bbws dlq` stands in the platform's audit trail: what was to be done before the first letter was touched, and what
came of it."""

import asyncio
import hashlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bbws.shared.bootstrap import Services
from bbws.shared.contracts.audit import PLATFORM, AuditEntry
from bbws.shared.core.audit import acting
from bbws.shared.errors import Conflict, NotFound, Unavailable
from bbws.shared.operating.dead_letter_choice import Choice
from tests.support.emulator import Aws
from tests.support.waiting import eventually

pytestmark = pytest.mark.needs("sqs", "dynamodb")
ACTOR = "cli:thabo"
QUEUE = "order-pdf"
DLQ = f"{QUEUE}-dlq"
ALL = Choice()


class Desk:
    """Dead letters of one queue, and what the trail says of them."""

    def __init__(self, aws: Aws, services: Services) -> None:
        self.aws = aws
        self.services = services
        self.dead_letters = services.dead_letters

    async def put(self, *bodies: str) -> list[str]:
        async with self.aws.client("sqs") as sqs:
            url = await self._url(sqs, DLQ)
            return [(await sqs.send_message(QueueUrl=url, MessageBody=body))["MessageId"] for body in bodies]

    async def depth(self, queue: str = DLQ) -> int:
        async with self.aws.client("sqs") as sqs:
            name = "ApproximateNumberOfMessages"
            url = await self._url(sqs, queue)
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            return int(answer["Attributes"][name]) + int(answer["Attributes"][f"{name}NotVisible"])

    async def trail(self) -> list[AuditEntry]:
        return [entry async for entry in self.services.audit_trails.export(PLATFORM)]

    async def _url(self, sqs: Any, name: str) -> str:
        url: str = (await sqs.get_queue_url(QueueName=name))["QueueUrl"]
        return url


@pytest_asyncio.fixture
async def desk(aws: Aws, services: Services) -> Desk:
    return Desk(aws, services)


def _after(entry: AuditEntry) -> dict[str, Any]:
    assert entry.details is not None
    return dict(entry.details.after)


async def test_a_redrive_says_what_it_was_to_do_and_what_it_did(desk: Desk) -> None:
    """Two entries of one flow, by name of the person, with the ids of what went back."""
    ids = await desk.put("one", "two")
    with acting("cli"):
        assert await desk.dead_letters.redrive(QUEUE, Choice(reason="crash"), actor=ACTOR) == 2
    begun, done = await desk.trail()
    assert [entry.action for entry in (begun, done)] == ["DEAD_LETTERS_REDRIVE_BEGUN", "DEAD_LETTERS_REDRIVE_DONE"]
    assert {(entry.subject, entry.actor) for entry in (begun, done)} == {(f"queues/{DLQ}", ACTOR)}
    assert begun.correlation_id == done.correlation_id
    assert begun.details is not None
    assert begun.details.source == "cli"
    assert _after(begun) == {"reason": "crash"}
    assert (_after(done)["count"], sorted(_after(done)["messageIds"])) == (2, sorted(ids))


async def test_a_deed_on_many_letters_names_the_first_of_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry is an item of DynamoDB: a thousand ids would be too large for it, and their number is what counts."""
    monkeypatch.setattr("bbws.shared.operating.dead_letter_audit.MAX_IDS", 2)
    ids = await desk.put("one", "two", "three")
    await desk.dead_letters.drop(QUEUE, ALL, actor=ACTOR)
    _, done = await desk.trail()
    assert (_after(done)["count"], len(_after(done)["messageIds"])) == (3, 2)
    assert set(_after(done)["messageIds"]) < set(ids)


async def test_every_other_deed_is_told_too(desk: Desk, tmp_path: Path) -> None:
    """An edit names the payload by its hash: the payload itself may be personal, and is in the queue."""
    first, second = await desk.put('{"a":1}', '{"b":2}')
    await desk.dead_letters.edit(QUEUE, first, b'{"a":2}', actor=ACTOR)
    file = tmp_path / "letters"
    assert await desk.dead_letters.archive(DLQ, Choice(message_id=second), actor=ACTOR, file=file) == 1
    assert await desk.dead_letters.drop(QUEUE, ALL, actor=ACTOR) == 1
    trail = await desk.trail()
    assert [entry.action.removeprefix("DEAD_LETTERS_") for entry in trail] == [
        "EDIT_BEGUN", "EDIT_DONE", "ARCHIVE_BEGUN", "ARCHIVE_DONE", "DROP_BEGUN", "DROP_DONE",
    ]  # fmt: skip
    assert _after(trail[1]) == {
        "messageId": first,
        "payloadSha256": hashlib.sha256(b'{"a":2}').hexdigest(),
        "count": 1,
        "messageIds": [first],
    }
    assert (_after(trail[3])["file"], _after(trail[3])["messageIds"]) == (str(file), [second])


async def test_what_failed_on_the_way_is_told_with_what_it_did(desk: Desk) -> None:
    """Three letters are gone and one is not: the trail says which three, and why no more."""
    await desk.put(*(str(number) for number in range(4)))
    redriving = asyncio.create_task(desk.dead_letters.redrive(QUEUE, ALL, actor=ACTOR, per_second=4))
    await eventually(lambda: desk.depth(QUEUE), what="the first letter back in its queue")
    redriving.cancel()
    await asyncio.wait([redriving])
    moved = 4 - await desk.depth()
    begun, failed = await desk.trail()
    assert (begun.action, failed.action) == ("DEAD_LETTERS_REDRIVE_BEGUN", "DEAD_LETTERS_REDRIVE_FAILED")
    assert 1 <= _after(failed)["count"] == moved < 4
    assert _after(failed)["error"] == "CancelledError"


async def test_what_is_refused_is_told_and_a_slip_of_the_pen_is_not(desk: Desk) -> None:
    """Trying to redrive what cannot be is a deed; naming a queue that does not exist is none."""
    with pytest.raises(Conflict):
        await desk.dead_letters.redrive("order-events-rule", ALL, actor=ACTOR)
    with pytest.raises(NotFound):
        await desk.dead_letters.drop("nosuch", ALL, actor=ACTOR)
    begun, failed = await desk.trail()
    assert (begun.subject, failed.action) == ("queues/order-events-rule-dlq", "DEAD_LETTERS_REDRIVE_FAILED")
    assert "EventBridge could not deliver" in _after(failed)["error"]


@pytest.mark.needs("faults")
async def test_nothing_is_touched_when_the_trail_cannot_be_written(desk: Desk, aws: Aws) -> None:
    """A deed that nobody could find again is not done."""
    await desk.put("one")
    await aws.inject("dynamodb", operation="PutItem")
    with pytest.raises(Unavailable):
        await desk.dead_letters.drop(QUEUE, ALL, actor=ACTOR)
    await aws.heal()
    assert (await desk.depth(), await desk.trail()) == (1, [])


async def test_a_command_that_was_killed_leaves_its_beginning(desk: Desk, aws: Aws) -> None:
    """Nothing can be written by a process that is gone: the entry before says who began what."""
    await desk.put("one", "two", "three")
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bbws", "dlq", "redrive", QUEUE, "--rate", "0.5",
        env=os.environ | desk.services.settings.as_environment(), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await eventually(partial(desk.depth, QUEUE), within_s=30, what="the first letter back in its queue")
    command.kill()
    await command.wait()
    (begun,) = await desk.trail()
    assert (begun.action, begun.actor.startswith("cli:")) == ("DEAD_LETTERS_REDRIVE_BEGUN", True)
