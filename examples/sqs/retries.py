"""Tests of a consumer without AWS and without waiting: a retry, a dead letter, a payment in ten minutes.

python examples/sqs/retries.py      (or: pytest examples/sqs/retries.py, with pytest-asyncio)
"""

import asyncio
import logging
from datetime import timedelta

from bbws.shared.sqs import Backoff, SQSBroker, SQSMessage, SQSQueue, TestSQSBroker

broker = SQSBroker()
PAYMENTS = SQSQueue("payments", dead_letter="payments-dlq", max_receive_count=4)


@broker.subscriber(PAYMENTS, retry=Backoff.exponential(base=30, cap=600, jitter=False))
async def charge(amount_cents: int, message: SQSMessage) -> None:
    """The bank answers at the third attempt, and never for amounts below one."""
    if amount_cents < 1 or message.receive_count < 3:
        raise ConnectionError("no answer from the bank")


async def test_the_third_attempt_charges() -> None:
    """30 and 60 seconds later, in a millisecond."""
    test_broker = TestSQSBroker(broker, raise_errors=False)
    async with test_broker:
        begin = test_broker.now
        await broker.publish(500, "payments")
        await test_broker.advance(90)
        assert not await test_broker.messages("payments")
        assert test_broker.now - begin >= timedelta(seconds=90)
        assert len(test_broker.errors) == 2


async def test_what_never_works_is_a_dead_letter() -> None:
    """With the reason, where somebody looks for it."""
    test_broker = TestSQSBroker(broker, raise_errors=False)
    async with test_broker:
        await broker.publish(0, "payments")
        await test_broker.advance(3600)
        [letter] = await test_broker.messages("payments-dlq")
        assert letter.headers["dead-letter-exception"] == "ConnectionError: no answer from the bank"
        assert letter.headers["dead-letter-reason"] == "failed 4 times"


async def test_a_delayed_payment_waits() -> None:
    """`delay` is a timer of SQS."""
    test_broker = TestSQSBroker(broker, raise_errors=False)
    async with test_broker:
        await broker.publish(500, "payments", delay=600)
        await test_broker.advance(599)
        assert not test_broker.errors
        await test_broker.advance(1)
        assert test_broker.errors


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    for test in (test_the_third_attempt_charges, test_what_never_works_is_a_dead_letter, test_a_delayed_payment_waits):
        asyncio.run(test())
        logging.info("passed: %s", test.__name__)
