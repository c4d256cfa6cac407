"""Lambda Powertools' batch processor. Lambda polls for it; here the bare loop does, and deletes what did not fail."""

from typing import Any

from aiobotocore.session import get_session
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from benchmarks.consumers import KEYS, QUEUE, REGION, Order, Work, as_text

_KEYS_OF_LAMBDA = {"MessageId": "messageId", "ReceiptHandle": "receiptHandle", "Body": "body"}


def body(order: dict[str, Any]) -> str:
    """The order alone."""
    return as_text(order)


def _processed(messages: list[dict[str, Any]], work: Work) -> set[str]:
    """Ids of the messages that failed."""

    def handle(record: SQSRecord) -> None:
        work.in_thread(Order.model_validate_json(record.body))

    records = [{lambdas: message[key] for key, lambdas in _KEYS_OF_LAMBDA.items()} for message in messages]
    answer = process_partial_response({"Records": records}, handle, BatchProcessor(EventType.SQS))
    return {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}


async def consume(endpoint_url: str, work: Work, _: int) -> None:
    """Ten at a time and one after the other, as a Lambda function of the basic example does; nothing else runs."""
    async with get_session().create_client("sqs", endpoint_url=endpoint_url, region_name=REGION, **KEYS) as sqs:
        url = (await sqs.get_queue_url(QueueName=QUEUE))["QueueUrl"]
        while True:
            answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            messages = answer.get("Messages", [])
            failed = _processed(messages, work) if messages else set()
            entries = [
                {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"]}
                for i, message in enumerate(messages)
                if message["MessageId"] not in failed
            ]
            if entries:
                await sqs.delete_message_batch(QueueUrl=url, Entries=entries)
