"""What comes with FastStream: `faststream run` with workers and reload, `docs gen`, ASGI health."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from faststream.asgi import AsgiFastStream, make_ping_asgi

from bbws.shared.sqs import SQSBroker
from tests.shared.sqs.worlds import broker_on, counts, started
from tests.support.emulator import Aws
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[3]
APP = """
import asyncio, os
from faststream import FastStream
from bbws.shared.sqs import SQSBroker

broker = SQSBroker(declare=True)
app = FastStream(broker)
VERSION = 1

@broker.subscriber("work", wait_time=1)
@broker.publisher("done")
async def work(number: int) -> dict[str, int]:
    await asyncio.sleep(0.1)
    return {"number": number, "pid": os.getpid(), "version": VERSION}
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A folder with an application `service:app`."""
    pytest.importorskip("typer", reason="the command line is FastStream's extra `cli`")
    (tmp_path / "service.py").write_text(APP)
    return tmp_path


@asynccontextmanager
async def faststream(folder: Path, *arguments: str, aws: Aws) -> AsyncIterator[asyncio.subprocess.Process]:
    """`faststream …` in its own process group, which is ended with the block."""
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_DEFAULT_REGION": aws.region,
        "AWS_ACCESS_KEY_ID": aws.access_key_id,
        "AWS_SECRET_ACCESS_KEY": aws.secret_access_key,
        "PYTHONWARNINGS": "default",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "faststream", *arguments),
        cwd=folder,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def answers(aws: Aws) -> list[dict[str, int]]:
    """What the application has published since the last question."""
    async with aws.client("sqs") as sqs:
        try:
            url = (await sqs.get_queue_url(QueueName="done"))["QueueUrl"]
        except sqs.exceptions.QueueDoesNotExist:
            return []
        received = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in received.get("Messages", [])]


async def prepared(aws: Aws, numbers: int) -> None:
    async with started(broker_on(aws)) as broker:
        broker.publisher("work")
        await broker.start()
        await broker.publish_batch(*range(numbers), queue="work")


async def test_two_workers_share_a_queue_and_stop_clean(app: Path, aws: Aws) -> None:
    """`faststream run --workers 2`: both work, SIGTERM ends both, and no message stays hidden."""
    await prepared(aws, 30)
    got: list[dict[str, int]] = []
    async with faststream(app, "run", "service:app", "--workers", "2", aws=aws) as process:

        async def both() -> bool:
            got.extend(await answers(aws))
            return len({answer["pid"] for answer in got}) == 2

        await eventually(both, what="both have worked", within_s=30)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await process.communicate()
    assert (await counts(aws, "work"))["held"] == 0


async def test_reload_runs_the_changed_code(app: Path, aws: Aws) -> None:
    """`faststream run --reload`: an edit is enough while developing."""
    pytest.importorskip("watchfiles")
    await prepared(aws, 1)
    async with faststream(app, "run", "service:app", "--reload", aws=aws):
        await eventually(lambda: answers(aws), what="it runs", within_s=30)
        (app / "service.py").write_text(APP.replace("VERSION = 1", "VERSION = 2"))

        async def is_new() -> bool:
            await prepared(aws, 1)
            return any(answer["version"] == 2 for answer in await answers(aws))

        await eventually(is_new, what="the new code runs", within_s=30)


async def test_the_document_is_generated(app: Path, aws: Aws) -> None:
    """`faststream docs gen` writes the AsyncAPI document with SQS's bindings."""
    async with faststream(app, "docs", "gen", "service:app", aws=aws) as process:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    document = json.loads((app / "asyncapi.json").read_text())
    queues = [channel["bindings"]["sqs"]["queue"]["name"] for channel in document["channels"].values()]
    assert sorted(queues) == ["done", "work"]


async def status(app: AsgiFastStream, path: str) -> int:
    """The answer's status to GET."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await app(scope, receive, send)
    return int(sent[0]["status"])


async def test_the_health_route_tells_whether_queues_answer(aws: Aws) -> None:
    """A load balancer must see that a consumer lost its queue."""
    broker = broker_on(aws)

    @broker.subscriber("alive", wait_time=1)
    async def handle(number: int) -> None: ...

    app = AsgiFastStream(broker, asgi_routes=[("/health", make_ping_asgi(broker, timeout=5))])
    assert await status(app, "/health") == 500
    async with started(broker), aws.client("sqs") as sqs:
        assert await status(app, "/health") == 204
        url = (await sqs.get_queue_url(QueueName="alive"))["QueueUrl"]
        await sqs.delete_queue(QueueUrl=url)
        assert await status(app, "/health") == 500


async def test_an_application_with_routes_is_the_brokers(aws: Aws) -> None:
    """`broker.as_asgi`-style applications start and stop the broker with the server."""
    broker: SQSBroker = broker_on(aws)
    app = AsgiFastStream(broker, asgi_routes=[("/health", make_ping_asgi(broker, timeout=5))])
    async with app.start_lifespan_context():

        async def healthy() -> bool:
            return await status(app, "/health") == 204

        # FastStream lets its server answer before the broker is connected.
        await eventually(healthy, what="the broker is connected")
    assert await status(app, "/health") == 500
