"""Imported by who forks `bbws`: the models of AWS's services are read from disk once, and not by each process."""

import asyncio

from bbws.shared.integrations.aws import AwsClients

_SERVICES = ("cognito-idp", "dynamodb", "events", "s3", "secretsmanager", "sesv2", "sns", "sqs", "sts")


async def _read() -> None:
    async with AwsClients("http://127.0.0.1:9", "af-south-1", "123456789012", "nobody") as clients:
        for service in _SERVICES:
            await clients.get(service)


asyncio.run(_read())
