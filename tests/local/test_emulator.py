import asyncio
import os
import signal
import sys
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from bbws.local.emulator_process import Emulator, child_environment
from bbws.local.errors import EmulatorFailed
from tests.support.emulator import Aws
from tests.support.waiting import eventually


async def _queue(aws: Aws) -> str:
    async with aws.client("sqs") as sqs:
        return str((await sqs.create_queue(QueueName="q"))["QueueUrl"])


async def test_two_tests_never_see_each_other(aws: Aws) -> None:
    """An account of its own per test is what lets the suite run in parallel."""
    other = Aws(aws.endpoint_url, "999999999999")
    await _queue(aws)
    async with other.client("sqs") as sqs:
        assert not (await sqs.list_queues()).get("QueueUrls")


@pytest.mark.needs("calls")
async def test_an_abandoned_long_poll_loses_no_message(aws: Aws) -> None:
    """A consumer that stops in the middle of a poll must not take a message with it."""
    url = await _queue(aws)
    async with aws.client("sqs") as sqs:
        abandoned = [_poll(sqs, url) for _ in range(5)]
        await eventually(lambda: _has_polls(aws, 5), what="five polls wait")
        for poll in abandoned:
            poll.cancel()
        await eventually(lambda: _has_polls(aws, 0), within_s=5, what="the polls were given up")
        last = _poll(sqs, url)
        await eventually(lambda: _has_polls(aws, 1), what="one poll waits")
        await sqs.send_message(QueueUrl=url, MessageBody="the only one")
        assert [m["Body"] for m in (await last).get("Messages", [])] == ["the only one"]


def _poll(sqs: Any, url: str) -> "asyncio.Task[dict[str, Any]]":
    return asyncio.create_task(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20))


async def _has_polls(aws: Aws, number: int) -> bool:
    return await aws.open_polls() == number


@pytest.mark.needs("sesv2", "mails")
async def test_a_raw_mail_is_kept_with_its_attachment(aws: Aws) -> None:
    """The mailbox must show what a customer would get, attachments and all."""
    mail = _mail_with_attachment()
    async with aws.client("sesv2") as ses:
        await ses.create_email_identity(EmailIdentity="shop@bbws.test")
        sent = await ses.send_email(
            FromEmailAddress="shop@bbws.test",
            Destination={"ToAddresses": ["zoe@example.test"], "BccAddresses": ["audit@bbws.test"]},
            Content={"Raw": {"Data": mail.as_bytes()}},
        )
    [kept] = await aws.mails()
    assert (kept["To"], kept["Subject"]) == ("zoe@example.test", "Invoice – Zoë")
    assert kept["X-SES-Message-Id"] == sent["MessageId"]
    assert kept["X-SES-Destinations"] == "zoe@example.test, audit@bbws.test"
    [attachment] = kept.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("i.pdf", b"%PDF-1.7")


def _mail_with_attachment() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@bbws.test", "zoe@example.test", "Invoice – Zoë"
    mail.set_content("Thank you")
    mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="i.pdf")
    return mail


@pytest.mark.needs("sesv2", "mails")
async def test_simple_mails_of_both_apis_are_kept(aws: Aws) -> None:
    """SES v1 is what a LocalStack without licence offers, so its mails must be seen as well."""
    body = {"Text": {"Data": "hello"}, "Html": {"Data": "<p>hello</p>"}}
    async with aws.client("sesv2") as v2, aws.client("ses") as v1:
        await v2.create_email_identity(EmailIdentity="shop@bbws.test")
        await v2.send_email(
            FromEmailAddress="shop@bbws.test",
            Destination={"ToAddresses": ["a@example.test"]},
            Content={"Simple": {"Subject": {"Data": "one"}, "Body": body}},
        )
        await v1.send_email(
            Source="shop@bbws.test",
            Destination={"ToAddresses": ["b@example.test"]},
            Message={"Subject": {"Data": "two"}, "Body": body},
        )
        await v1.send_raw_email(RawMessage={"Data": _mail_with_attachment().as_bytes()})
    mails = await aws.mails()
    assert [mail["To"] for mail in mails] == ["a@example.test", "b@example.test", "zoe@example.test"]
    html = mails[1].get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>hello</p>"


@pytest.mark.needs("sesv2", "mails")
async def test_a_refused_mail_is_not_kept(aws: Aws) -> None:
    """A mail that SES refused never reaches anybody, so the mailbox must not show it."""
    async with aws.client("sesv2") as ses:
        with pytest.raises(ClientError, match="not verified"):
            await ses.send_email(
                FromEmailAddress="nobody@bbws.test",
                Destination={"ToAddresses": ["a@example.test"]},
                Content={"Raw": {"Data": b"From: nobody@bbws.test\n\nx"}},
            )
    assert await aws.mails() == []


_CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "dynamodb": ("list_tables", {}, "InternalServerError"),
    "sqs": ("list_queues", {}, "ServiceUnavailable"),
    "sns": ("list_topics", {}, "ServiceUnavailable"),
    "events": ("list_event_buses", {}, "ServiceUnavailable"),
    "s3": ("list_buckets", {}, "SlowDown"),
    "sesv2": ("list_email_identities", {}, "ServiceUnavailable"),
}


@pytest.mark.needs("faults")
@pytest.mark.parametrize("service", _CALLS)
async def test_an_injected_fault_reads_like_the_services_own(aws: Aws, service: str) -> None:
    """Our handling of outages is only proven when the error arrives in the service's own protocol."""
    call, arguments, code = _CALLS[service]
    await aws.inject(service)
    async with aws.client(service) as client:
        with pytest.raises(ClientError) as caught:
            await getattr(client, call)(**arguments)
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        await aws.heal()
        await getattr(client, call)(**arguments)


@pytest.mark.needs("faults")
async def test_a_fault_hits_its_account_and_operation_only(aws: Aws) -> None:
    """Tests in parallel share one emulator; a fault of one must not fail another."""
    other = Aws(aws.endpoint_url, "999999999998")
    await aws.inject("sqs", status=400, code="ThrottlingException", operation="CreateQueue", times=3)
    async with aws.client("sqs") as sqs, other.client("sqs") as neighbour:
        await neighbour.create_queue(QueueName="q")
        await sqs.list_queues()
        with pytest.raises(ClientError, match="ThrottlingException"):
            await sqs.create_queue(QueueName="q")
        await sqs.create_queue(QueueName="q")
    assert await aws.calls("sqs", "CreateQueue") == 4


@pytest.mark.needs("faults")
async def test_a_service_can_be_slow_without_failing(aws: Aws) -> None:
    """Timeouts and leases are tested against a slow service, which still answers rightly."""
    await aws.inject("sqs", status=None, latency_ms=300)
    started = time.monotonic()
    await _queue(aws)
    assert time.monotonic() - started >= 0.3


@pytest.mark.needs("faults")
async def test_a_misspelt_fault_is_refused(aws: Aws) -> None:
    """A fault that silently does nothing would make a test of an outage pass without one."""
    with pytest.raises(aiohttp.ClientResponseError, match="400"):
        await aws.inject("sqs", stauts=503)


@pytest.mark.process
async def test_state_survives_a_clean_stop_unless_fresh_is_asked(tmp_path: Path) -> None:
    """`bbws up` goes on where it stopped, and starts anew only when told to."""
    state, mails = tmp_path / "state", tmp_path / "mails"
    async with Emulator(state, mails) as emulator:
        await _queue(Aws(emulator.endpoint_url, "123456789012"))
    async with Emulator(state, mails) as emulator:
        assert await _queue_count(emulator) == 1
    async with Emulator(state, mails, fresh=True) as emulator:
        assert await _queue_count(emulator) == 0


async def _queue_count(emulator: Emulator) -> int:
    async with Aws(emulator.endpoint_url, "123456789012").client("sqs") as sqs:
        return len((await sqs.list_queues()).get("QueueUrls", []))


@pytest.mark.process
async def test_a_port_in_use_is_named_with_the_log(tmp_path: Path) -> None:
    """Whoever starts a second one must read why it did not come up."""
    async with Emulator(tmp_path / "a", tmp_path / "mails") as first:
        port = int(first.endpoint_url.rpartition(":")[2])
        with pytest.raises(EmulatorFailed, match="Address already in use"):
            await Emulator(tmp_path / "b", tmp_path / "mails", port=port).start()


@pytest.mark.process
async def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """A killed test run must leave no emulator behind."""
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=Path.cwd()
    )
    assert parent.stdout is not None
    child = int(await asyncio.wait_for(parent.stdout.readline(), 60))
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await eventually(lambda: not _is_running(child), what="the emulator has ended")


_PARENT = """
import asyncio, sys
from pathlib import Path
from typing import Any
sys.path.insert(0, ".")
from bbws.local.emulator_process import Emulator
async def main():
    directory = Path(sys.argv[1])
    async with Emulator(directory / "state", directory / "mails") as emulator:
        print(emulator.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())


@pytest.mark.needs("faults")
@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {"Origin": "https://evil.example"}),
        ("POST", "/", {"Origin": "null"}),
        ("DELETE", "/_bbws/faults", {"Origin": "http://127.0.0.1:8080"}),
        ("OPTIONS", "/", {}),
        ("GET", "/?Action=CreateQueue&QueueName=q", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", "/?Action=CreateQueue&QueueName=q&X-Amz-Signature=0", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", "/_bbws/mails", {"Sec-Fetch-Site": "same-site"}),
        ("GET", "/_bbws/health", {"Host": "rebound.evil.example"}),
    ],
)
async def test_web_pages_have_no_access(aws: Aws, method: str, path: str, headers: dict[str, str]) -> None:
    """Any site that a developer visits could call it: unsigned requests are believed, and there is no password."""
    async with aiohttp.ClientSession() as session:
        async with session.request(method, aws.endpoint_url + path, headers=headers) as refused:
            assert refused.status == 403
        websocket = session.ws_connect(aws.endpoint_url, headers=headers)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await websocket


@pytest.mark.needs("s3", "faults")
async def test_presigned_link_works_from_a_page_and_shares_nothing(aws: Aws) -> None:
    """An invoice opens from the order's page, and no script of another origin can read it."""
    async with aws.client("s3") as s3, aiohttp.ClientSession() as session:
        bucket = aws.unique("papers")
        await s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
        await s3.put_object(Bucket=bucket, Key="i.pdf", Body=b"%PDF-1.7")
        link = await s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "i.pdf"})
        async with session.get(link, headers={"Sec-Fetch-Site": "same-site"}) as answer:
            assert (answer.status, await answer.read()) == (200, b"%PDF-1.7")
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.needs("faults")
@pytest.mark.parametrize(("service", "call"), [("lambda", "list_functions"), ("ecs", "list_clusters")])
async def test_nothing_that_runs_code_is_on(aws: Aws, service: str, call: str) -> None:
    """A function of the emulator's lambda would run on the developer's machine with the developer's rights."""
    async with aws.client(service) as client:
        with pytest.raises(ClientError):
            await getattr(client, call)()


def test_emulator_gets_no_credentials() -> None:
    """Real keys and tokens of the developer must not be there to be read through the emulator."""
    needed = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "PYTHONPATH": "x", "COVERAGE_PROCESS_START": "y"}
    secret = {"AWS_SECRET_ACCESS_KEY": "a", "BBWS_SECRETS_NAME": "b", "GITHUB_TOKEN": "c", "MY_PATH": "d"}
    assert child_environment(needed | secret) == needed
