"""The examples run as they stand."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bbws.shared.sqs.dead_letters import REASON
from tests.shared.sqs.worlds import as_json, is_empty, messages_in
from tests.support.emulator import Aws

ROOT = Path(__file__).parents[3]


async def run(example: str, **environment: str) -> str:
    """Its output; fails when it does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "examples/sqs" / example),
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_basic_confirms_and_buries(aws: Aws) -> None:
    """The first thing that a reader tries must work, dead letter included."""
    output = await run(
        "basic.py",
        AWS_ENDPOINT_URL=aws.endpoint_url,
        AWS_DEFAULT_REGION=aws.region,
        AWS_ACCESS_KEY_ID=aws.access_key_id,
        AWS_SECRET_ACCESS_KEY=aws.secret_access_key,
    )
    assert "order 1 is confirmed" in output
    assert "order 2, attempt 1" in output
    [letter] = await messages_in(aws, "example-orders-dlq")
    assert as_json(letter.body) == {"id": 2, "quantity": 0}
    assert letter.headers[REASON] == "nothing ordered"
    assert await is_empty(aws, "example-orders")


@pytest.mark.process
async def test_retries_are_tested_without_aws() -> None:
    """The tests that the guide shows are tests that pass."""
    assert (await run("retries.py")).count("passed:") == 3
