"""The network and SQS go wrong while messages are handled: each is handled at least once, and none is lost."""

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError

from bbws.shared.sqs import Backoff, PartialPublishError, SQSQueue
from bbws.shared.sqs.client import AWS_ERRORS
from bbws.shared.sqs.subscriber import batching, poller
from tests.shared.sqs.faulty import Fault, network
from tests.shared.sqs.worlds import broker_on, is_empty, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

MESSAGES = 40
QUEUE = SQSQueue("rough", dead_letter="rough-dlq", max_receive_count=50, visibility_timeout=2)
FAULTS: tuple[Fault, ...] = (
    "throttle", "500", "expired", "reset", "answer lost", "truncated", "garbage", "slow", "close", "reordered",
    "duplicated", "lease lost",
)  # fmt: skip
LOSING = {"answer lost", "truncated", "garbage"}
NO_RETRIES = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})

pytestmark = pytest.mark.parametrize("client", ["fast", "botocore"])


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "_MAX_PAUSE_S", 0.2)
    monkeypatch.setattr(poller, "_FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(batching, "_RETRY_S", 0.02)


async def fill(aws: Aws, queue: str, numbers: range) -> None:
    async with aws.client("sqs") as sqs:
        url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
        for start in numbers[::10]:
            entries = [
                {"Id": str(n), "MessageBody": str(n), **(in_group(n) if queue.endswith(".fifo") else {})}
                for n in range(start, min(start + 10, numbers.stop))
            ]
            await sqs.send_message_batch(QueueUrl=url, Entries=entries)


def in_group(number: int) -> dict[str, str]:
    """Even numbers in one, odd ones in another."""
    return {"MessageGroupId": "ab"[number % 2], "MessageDeduplicationId": str(number)}


@pytest.mark.parametrize("fault", [*FAULTS, "all of them"])
async def test_every_message_is_handled_and_none_is_lost(aws: Aws, client: Any, fault: Any) -> None:
    """Every third call of every kind goes wrong; what is handled twice is what SQS could not know was done.

    The time is real: what an answer took with it comes again when SQS's visibility timeout ends.
    """
    handled: Counter[int] = Counter()
    async with network(aws) as (between, address):
        broker = broker_on(address, client=client, client_config=NO_RETRIES)

        lease_s = 1 if fault in LOSING else 2

        @broker.subscriber(QUEUE, visibility_timeout=lease_s, wait_time=0, max_workers=5, retry=Backoff.immediate())
        async def handle(number: int) -> None:
            handled[number] += 1
            if number % 7 == 0 and handled[number] == 1:
                raise ValueError("the first try of some")

        async with started(broker):
            between.every(3, FAULTS if fault == "all of them" else [fault])
            await fill(aws, "rough", range(MESSAGES))
            await eventually(lambda: len(handled) == MESSAGES, what="each message is handled", within_s=60)
            between.calm()
            await eventually(partial(is_empty, aws, "rough"), what="each message is deleted", within_s=20)
    assert await is_empty(aws, "rough-dlq")
    if fault in {"slow", "close"}:
        assert sum(handled.values()) == MESSAGES + len(range(0, MESSAGES, 7))


@pytest.mark.parametrize("faults", [("reordered",), ("duplicated",), ("reordered", "duplicated")])
async def test_each_delivery_is_handled_and_settled(aws: Aws, client: Any, faults: Any) -> None:
    """SQS promises no order and no single delivery: a late or second one is handled and deleted as the first."""
    seen: list[int] = []
    async with network(aws) as (between, address):
        broker, deliveries = broker_on(address, client=client), between.deliveries
        between.every(1, faults)

        @broker.subscriber(SQSQueue("mixed", visibility_timeout=600), wait_time=0, max_workers=5)
        async def handle(number: int) -> None:
            seen.append(number)

        async with started(broker):
            await fill(aws, "mixed", range(MESSAGES))
            await eventually(lambda: set(seen) == set(range(MESSAGES)), what="each message is handled")
            await eventually(lambda: deliveries.are_all_out, what="no message is late any more")
            await eventually(lambda: len(seen) == len(deliveries.handed_out), what="each delivery is handled")
            await eventually(partial(is_empty, aws, "mixed"), what="each message is deleted")
    assert deliveries.deleted == set(deliveries.handed_out)
    assert len(seen) == MESSAGES + deliveries.repeated
    assert bool(deliveries.repeated) == ("duplicated" in faults)
    firsts = list(dict.fromkeys(seen))
    assert "reordered" not in faults or firsts != sorted(firsts)


@pytest.mark.parametrize("fault", ["lease lost", "answer lost"])
async def test_a_group_keeps_its_order_when_sqs_repeats(aws: Aws, client: Any, fault: Any) -> None:
    """What comes again, beside what fails, lets no message of its group overtake it or run beside it."""
    queue = SQSQueue("lanes", fifo=True, visibility_timeout=1)
    done: dict[str, list[int]] = {"a": [], "b": []}
    busy: set[str] = set()
    faults: list[str] = []
    failed: set[int] = set()
    sender = broker_on(aws)
    sender.publisher(queue)
    async with started(sender), network(aws) as (between, address):
        await fill(aws, "lanes.fifo", range(MESSAGES))
        broker = broker_on(address, client=client, client_config=NO_RETRIES)
        # A lost answer is a second's wait: two of them are enough.
        hit = range(1, 100, 2) if fault == "lease lost" else (2, 4)
        between.plan = lambda operation, number: fault if operation == "ReceiveMessage" and number in hit else ""

        @broker.subscriber(queue, wait_time=0, max_workers=5, retry=Backoff.immediate())
        async def handle(number: int) -> None:
            group = "ab"[number % 2]
            if group in busy or number // 2 > len(set(done[group])):
                faults.append(f"{number} after {done[group]}, in work {busy}")
            busy.add(group)
            # Long enough for what was lost to come a second time.
            await asyncio.sleep(0.01)
            busy.discard(group)
            if number % 7 == 0 and number not in failed:
                failed.add(number)
                raise ValueError("the first try of some")
            done[group].append(number)

        async with started(broker):
            await eventually(partial(is_empty, aws, "lanes.fifo"), what="each message is deleted", within_s=60)
    assert not faults
    assert sorted({*done["a"], *done["b"]}) == list(range(MESSAGES))
    assert fault == "answer lost" or len(done["a"] + done["b"]) > MESSAGES


@pytest.mark.parametrize("fault", ["500", "answer lost", "garbage", "truncated"])
async def test_a_send_without_an_answer_is_not_repeated_by_us(aws: Aws, client: Any, fault: Any) -> None:
    """It may have arrived: with botocore's retries off, one publish is one request."""
    async with network(aws) as (between, address):
        broker = broker_on(address, client=client, client_config=NO_RETRIES)
        broker.publisher(SQSQueue("once"))
        async with started(broker):
            between.plan = lambda operation, _: fault if operation.startswith("SendMessage") else ""
            with pytest.raises(AWS_ERRORS):
                await broker.publish("x", "once")
            with pytest.raises(PartialPublishError) as told:
                await broker.publish_batch("y", "z", queue="once")
    assert between.calls["SendMessage"] == between.calls["SendMessageBatch"] == 1
    assert [failed.maybe_sent for failed in told.value.failed] == [True, True]


async def test_retries_are_those_that_are_configured(aws: Aws, client: Any) -> None:
    """Throttled twice and then well is three requests, and no error; a refusal is an error at once."""
    async with network(aws) as (between, address):
        broker = broker_on(address, client=client)
        broker.publisher(SQSQueue("again"))
        async with started(broker):
            between.always("SendMessage", "throttle", "throttle")
            await broker.publish("x", "again")
            assert between.calls["SendMessage"] == 3
            between.plan = lambda _, __: "expired"
            with pytest.raises(ClientError, match="ExpiredToken"):
                await broker.publish("x", "again")
            assert between.calls["SendMessage"] == 4
