"""How much waits in a queue, wherever in it."""

from functools import partial

import pytest

from bbws.shared.errors import Unavailable
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.queues import Queues
from tests.support.emulator import Aws

pytestmark = pytest.mark.needs("sqs")


async def test_what_is_delayed_or_in_hands_waits_too(clients: AwsClients) -> None:
    """Somebody who waits until a queue is empty must not be told so while its last message is being worked on."""
    sqs = await clients.get("sqs")
    url = (await sqs.create_queue(QueueName="order-pdf"))["QueueUrl"]
    for delay_s in (0, 0, 600):
        await sqs.send_message(QueueUrl=url, MessageBody="1", DelaySeconds=delay_s)
    taken = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
    assert len(taken["Messages"]) == 1
    assert await Queues(partial(clients.get, "sqs")).backlog("order-pdf") == 3


@pytest.mark.needs("faults")
async def test_a_queue_that_cannot_be_asked_is_not_empty(clients: AwsClients, aws: Aws) -> None:
    """Zero would say that everything is done."""
    await aws.inject("sqs")
    with pytest.raises(Unavailable, match="sqs"):
        await Queues(partial(clients.get, "sqs")).backlog("order-pdf")
