"""Deletes that nobody waits for: late and refused ones, those under way at a stop, those that must not be."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from faststream import BaseMiddleware

from bbws.shared.sqs import Backoff, SQSMessage
from bbws.shared.sqs.client import Failure
from bbws.shared.sqs.memory import MemoryService
from tests.shared.sqs.virtual_clock import now, virtual_clock
from tests.shared.sqs.worlds import BrokerOnMemory, started
from tests.support.waiting import eventually


class Deletes(MemoryService):
    """Deletes end when `go_on` is set, extensions begin with `extending` and end with `extended`.

    `refusal` is what SQS says instead of deleting the first entry.
    """

    def __init__(self, refusal: Failure | None = None) -> None:
        super().__init__(now)
        self.refusal = refusal
        self.calls = 0
        self.go_on, self.extending, self.extended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def delete_batch(self, queue_url: str, receipt_handles: Sequence[str]) -> Sequence[Failure]:
        self.calls += 1
        await self.go_on.wait()
        if self.refusal is not None:
            return [self.refusal, *await super().delete_batch(queue_url, receipt_handles[1:])]
        return await super().delete_batch(queue_url, receipt_handles)

    async def change_visibility_batch(self, queue_url: str, entries: Sequence[tuple[str, int]]) -> Sequence[Failure]:
        self.extending.set()
        await self.extended.wait()
        return await super().change_visibility_batch(queue_url, entries)


@virtual_clock
async def test_a_refused_delete_is_logged_with_its_reason_and_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    """The message comes again: who looks for the reason of a second delivery finds it."""
    service, seen = Deletes(Failure(0, "ReceiptHandleIsInvalid", "has expired", sender_fault=True)), []
    service.go_on.set()
    broker = BrokerOnMemory(service, logger=logging.getLogger("refused"))

    @broker.subscriber("q", wait_time=0)
    async def handle(number: int) -> None:
        seen.append(number)

    await broker.connect()
    async with started(broker):
        await broker.publish(1, "q")
        await eventually(lambda: service.calls, what="the delete is refused")
        await broker.publish(2, "q")
        await eventually(lambda: seen == [1, 2], what="the next is handled")
    [record, *_] = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "ReceiptHandleIsInvalid" in record.getMessage()
    assert "has expired" in record.getMessage()


@virtual_clock
async def test_handlers_go_on_while_deletes_are_under_way_but_not_for_ever() -> None:
    """A free worker does not wait for SQS; but where nothing is deleted, everything handled comes again."""
    service, seen = Deletes(), []
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", max_workers=5, wait_time=0)
    async def handle(number: int) -> None:
        seen.append(number)

    await broker.connect()
    await broker.publish_batch(*range(60), queue="q")
    async with started(broker):
        await eventually(lambda: len(seen) >= 20, what="handlers go on")
        await asyncio.sleep(0.3)
        handled = len(seen)
        service.go_on.set()
        assert handled <= 25
        await eventually(lambda: not service.messages("q"), what="the queue is empty")


@virtual_clock
async def test_a_stop_waits_for_deletes_under_way() -> None:
    """What was handled must not come again because the process left too early."""
    service, seen = Deletes(), []
    broker = BrokerOnMemory(service, graceful_timeout=0.1)

    @broker.subscriber("q", max_workers=5, wait_time=0)
    async def handle(number: int) -> None:
        seen.append(number)

    await broker.connect()
    await broker.publish_batch(*range(3), queue="q")
    async with started(broker):
        await eventually(lambda: service.calls and len(seen) == 3, what="the delete is under way")
        asyncio.get_running_loop().call_later(0.3, service.go_on.set)
    assert not service.messages("q")


@virtual_clock
async def test_a_delete_waits_for_an_extension_under_way() -> None:
    """Extended after its delete, a message would be told lost that was handled once and well."""
    service, seen = Deletes(), []
    service.go_on.set()
    broker = BrokerOnMemory(service)

    @broker.subscriber("q", visibility_timeout=1, wait_time=0)
    async def handle(number: int) -> None:
        await service.extending.wait()
        seen.append(number)

    await broker.connect()
    await broker.publish(1, "q")
    async with started(broker):
        await eventually(lambda: seen, what="it is handled")
        await asyncio.sleep(0.1)
        deletes = service.calls
        service.extended.set()
        await eventually(lambda: not service.messages("q"), what="it is deleted")
    assert deletes == 0


class Spoiling(BaseMiddleware[Any, Any]):
    """Fails around the first message, at `where`."""

    where = ""
    number = 0

    async def on_receive(self) -> None:
        Spoiling.number += 1
        self.spoil("on receive")

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        answer = await call_next(msg)
        self.spoil("behind the handler")
        return answer

    async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
        self.spoil("with the answer")
        return await call_next(cmd)

    async def after_processed(self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None) -> bool:
        self.spoil("at the end")
        return False

    def spoil(self, where: str) -> None:
        if self.number == 1 and where == self.where:
            raise ValueError(where)


@pytest.mark.parametrize("where", ["on receive", "behind the handler", "with the answer", "at the end"])
@virtual_clock
async def test_what_fails_around_a_handler_that_went_well_is_not_deleted(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler's return is not the end: with its answer unsent or its transaction open, the message comes again."""
    monkeypatch.setattr(Spoiling, "where", where)
    monkeypatch.setattr(Spoiling, "number", 0)
    service, receives = MemoryService(now), list[int]()
    broker = BrokerOnMemory(service)

    @broker.publisher("answers")
    @broker.subscriber("q", wait_time=0, retry=Backoff.immediate())
    async def handle(number: int, message: SQSMessage) -> int:
        receives.append(message.receive_count)
        return number

    await broker.connect()
    await broker.publish(1, "q")
    broker.add_middleware(Spoiling)
    async with started(broker):
        await eventually(lambda: service.messages("answers") and not service.messages("q"), what="it is done")
    assert receives == ([2] if where == "on receive" else [1, 2])
