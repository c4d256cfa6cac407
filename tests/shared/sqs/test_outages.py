"""SQS fails, answers slowly, or the queue is gone: the consumer outlives it. On AWS over HTTP only."""

import logging
from functools import partial
from typing import Any

import pytest
from aiobotocore.config import AioConfig

from bbws.shared.sqs import SQSQueue
from bbws.shared.sqs.subscriber import poller
from tests.shared.sqs.worlds import broker_on, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

# Botocore's own retries are not what is tested here.
NO_RETRIES = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})
LOGGER = logging.getLogger("sqs-outages")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shape of the back-off stays, its longest pause fits a test."""
    monkeypatch.setattr(poller, "_MAX_PAUSE_S", 0.3)
    monkeypatch.setattr(poller, "_FIRST_PAUSE_S", 0.1)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == LOGGER.name and r.levelno >= logging.ERROR]


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 400, "code": "ThrottlingException"}])
async def test_a_failing_poll_is_repeated_and_logged_once(
    aws: Aws, caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    """Through throttling and 5xx the consumer goes on by itself, without filling the log."""
    broker, got = broker_on(aws, logger=LOGGER, client_config=NO_RETRIES), []

    @broker.subscriber("tough", wait_time=0)
    async def handle(number: int) -> None:
        got.append(number)

    caplog.set_level(logging.INFO)
    async with started(broker):
        await eventually(lambda: aws.calls("sqs", "ReceiveMessage"), what="the first poll")
        await aws.inject("sqs", operation="ReceiveMessage", **fault)
        before = await aws.calls("sqs", "ReceiveMessage")
        await eventually(lambda: tried(aws, before + 5), what="some failed polls")
        await broker.publish(1, "tough")
        await aws.heal()
        await eventually(lambda: got, what="the message is handled after the outage")
    assert len([line for line in errors(caplog) if "cannot receive" in line]) == 1
    assert any("receiving again" in record.getMessage() for record in caplog.records)


async def tried(aws: Aws, calls: int) -> bool:
    return await aws.calls("sqs", "ReceiveMessage") >= calls


async def test_a_queue_that_is_made_anew_is_found(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """A consumer may be started before its queue exists and outlive its deletion; `ping` tells meanwhile."""
    broker, got = broker_on(aws, declare=False, logger=LOGGER), []

    @broker.subscriber("late", wait_time=0)
    async def handle(number: int) -> None:
        got.append(number)

    async with started(broker):
        await eventually(lambda: errors(caplog), what="the missing queue is logged")
        assert not await broker.ping()
        for number in (1, 2):
            async with aws.client("sqs") as sqs:
                url = (await sqs.create_queue(QueueName="late"))["QueueUrl"]
                await sqs.send_message(QueueUrl=url, MessageBody=str(number))
                await eventually(partial(got.count, number), what="it is handled")
                assert await broker.ping()
                await sqs.delete_queue(QueueUrl=url)
    assert "NonExistentQueue" in errors(caplog)[0] or "QueueDoesNotExist" in errors(caplog)[0]


async def test_ping_tells_the_truth(aws: Aws) -> None:
    """A health check that always says yes is worse than none."""
    broker = broker_on(aws)
    assert not await broker.ping()
    async with started(broker):
        assert await broker.ping(timeout=5)
        await aws.inject("sqs", status=503)
        assert not await broker.ping(timeout=0.3)
        await aws.heal()
    unreachable = broker_on(aws)
    broker.publisher(SQSQueue("unused"))
    assert not await unreachable.ping()


async def test_an_unreachable_aws_is_no_crash() -> None:
    """Nobody listens: `ping` says so, the poll waits, and stopping still works."""
    nowhere = broker_on(Aws("http://127.0.0.1:9", "123456789012"), declare=False, client_config=NO_RETRIES)

    @nowhere.subscriber("x", wait_time=0)
    async def handle(number: int) -> None: ...

    async with started(nowhere):
        assert not await nowhere.ping(timeout=5)
