"""The command `bbws` as a person uses it: help, answers, one-line errors, exit codes."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from openapi_spec_validator import validate

from bbws import __version__
from bbws.cli.app import cli
from bbws.shared.contracts.sales.order_events import InvoiceIssued, OrderCreated
from bbws.shared.contracts.tenancy.tenant_events import RegistrationRequested
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.support.commands import account_of, bbws
from tests.support.emulator import Aws

VECTORS = json.loads((Path(__file__).parents[1] / "shared/integrations/payfast/vectors.json").read_text())
NOBODY = "http://127.0.0.1:9"


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _commands(child, (*path, name))


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The only line of an error, and no traceback."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize("path", list(_commands(cli)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    """Somebody at three in the morning reads the help, not the source."""
    answer = CliRunner().invoke(cli, [*path, "--help"], prog_name="bbws")
    assert answer.exit_code == 0
    assert answer.output.startswith(f"Usage: {' '.join(['bbws', *path])}")
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert len((command.help or "").strip()) > 15


def test_a_command_that_does_not_exist_is_a_usage_error() -> None:
    """Exit code 2 and a hint, as every command line does."""
    answer = _invoke("frobnicate")
    assert (answer.exit_code, "No such command 'frobnicate'" in answer.output) == (2, True)


def test_an_unknown_consumer_is_told_with_those_that_exist() -> None:
    """A misspelt name in a task definition must not look like a consumer with nothing to do."""
    answer = _invoke("consumer", "order-records")
    assert answer.exit_code == 2
    assert (
        "there is no consumer order-records; there are order-record, order-pdf, notify, housekeeping" in answer.output
    )


@pytest.mark.parametrize(
    "command", ["gateway", "consumer notify", "provision --check", "dlq list", "openapi", "asyncapi"]
)
def test_a_wrong_setting_is_one_line_that_names_the_variable(command: str) -> None:
    """The person who set it finds it by its name; its value is not repeated, it may be a secret."""
    answer = _invoke(*command.split(), environment={"BBWS_RECEIVE_WAIT_S": "wrong-value"})
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: BBWS_RECEIVE_WAIT_S: ")
    assert "wrong-value" not in answer.output


def test_a_missing_key_in_production_is_told() -> None:
    """It is checked across settings, so that no single variable is at fault."""
    answer = _invoke("gateway", environment={"BBWS_ENVIRONMENT": "prod"})
    assert answer.output.startswith(
        "Error: BBWS_ENVIRONMENT=prod: BBWS_CURSOR_SIGNING_KEY and BBWS_TOKEN_SIGNING_KEY need"
    )


@pytest.mark.parametrize("command", ["provision --check", "dlq list"])
def test_an_aws_that_cannot_be_reached_is_one_line(command: str) -> None:
    """The emulator is not running: that is no reason for forty lines of traceback."""
    assert NOBODY in _one_line(bbws(*command.split(), environment={"AWS_ENDPOINT_URL": NOBODY}))


def test_an_unknown_queue_is_one_line() -> None:
    """And it lists those that exist."""
    assert "no queue nosuch; there are customer-notify" in _one_line(
        bbws("dlq", "show", "nosuch", environment={"AWS_ENDPOINT_URL": NOBODY})
    )


@pytest.mark.parametrize(
    "command", ["gateway", "stand-in payfast --port {port}", "up --gateway-port {port} --home {home}"]
)
def test_a_port_that_is_taken_is_one_line(command: str, aws: Aws, tmp_path: Path) -> None:
    """The second `bbws up` on a machine says which port, and stops."""
    port = aws.endpoint_url.rsplit(":", 1)[-1]
    arguments = command.format(port=port, home=tmp_path).split()
    done = bbws(*arguments, environment={"AWS_ENDPOINT_URL": NOBODY, "BBWS_GATEWAY_PORT": port})
    assert done.returncode == 1
    assert port in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.needs("dynamodb", "s3", "events", "sns", "sqs", "sesv2")
def test_provision_checks_creates_and_is_content(aws: Aws) -> None:
    """A pipeline decides by the exit code, a person by the lines."""
    account = account_of(aws)
    before = bbws("provision", "--check", environment=account)
    assert (before.returncode, before.stderr) == (1, "")
    assert "queue order-record is missing" in before.stdout.splitlines()
    made = bbws("provision", environment=account)
    assert (made.returncode, made.stdout) == (0, "everything is as declared\n"), made
    assert bbws("provision", "--check", environment=account).returncode == 0


@pytest.mark.needs("sqs")
async def test_dead_letters_can_be_listed_shown_mended_redriven_and_dropped(
    aws: Aws, provisioned: Settings, tmp_path: Path
) -> None:
    """The way an operator goes; what programs read is JSON and nothing else."""
    async with aws.client("sqs") as sqs:
        url = (await sqs.get_queue_url(QueueName="order-pdf-dlq"))["QueueUrl"]
        for body in ("one", "two"):
            attributes = {"dead-letter-reason": {"DataType": "String", "StringValue": f"Conflict: {body}"}}
            await sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)
    account = account_of(aws)
    assert "order-pdf-dlq                  2, oldest from" in bbws("dlq", "list", environment=account).stdout
    (listed,) = [entry for entry in _json(bbws("dlq", "list", "--json", environment=account)) if entry["depth"]]
    assert {(each["reason"], each["count"]) for each in listed["byReason"]} == {
        ("Conflict: one", 1),
        ("Conflict: two", 1),
    }
    (shown,) = _json(bbws("dlq", "show", "order-pdf", "--reason", "conflict: TWO", environment=account))
    assert (shown["body"], shown["reason"]) == ("two", "Conflict: two")
    dry = bbws("dlq", "redrive", "order-pdf", "--dry-run", environment=account)
    assert (f"{shown['id']}  Conflict: two\n" in dry.stdout, dry.stdout.splitlines()[-1]) == (
        True,
        "would be redriven: 2",
    )
    (tmp_path / "payload").write_text("three\n")
    edited = bbws("dlq", "edit", "order-pdf", "--id", shown["id"], str(tmp_path / "payload"), environment=account)
    assert "dead letter edited" in edited.stderr
    (shown,) = _json(bbws("dlq", "show", "order-pdf", "--reason", "conflict: TWO", environment=account))
    assert (edited.stdout, shown["body"]) == (f"edited: {shown['id']}\n", "three")
    redriven = bbws("dlq", "redrive", "order-pdf", "--id", shown["id"], "--rate", "50", environment=account)
    assert (redriven.stdout, "dead letter redriven" in redriven.stderr) == ("redriven: 1\n", True)
    assert _invoke("dlq", "drop", "order-pdf", given=b"n\n").exit_code == 1
    assert bbws("dlq", "drop", "order-pdf", "--yes", environment=account).stdout == "dropped: 1\n"


async def test_dead_letters_are_archived_in_a_bucket_or_a_file(aws: Aws, provisioned: Settings, tmp_path: Path) -> None:
    """What nobody will redrive leaves the queue and is not lost; an alarm on the queue can be quiet again."""
    bucket = Topology.for_settings(provisioned).bucket("documents").name
    account = account_of(aws)
    async with aws.client("sqs") as sqs, aws.client("s3") as s3:
        url = (await sqs.get_queue_url(QueueName="order-pdf-dlq"))["QueueUrl"]
        for body in ("one", "two"):
            await sqs.send_message(QueueUrl=url, MessageBody=body)
        (first, _) = _json(bbws("dlq", "show", "order-pdf", environment=account))
        file = tmp_path / "letters.jsonl"
        into_file = bbws("dlq", "archive", "order-pdf", "--id", first["id"], "--file", str(file), environment=account)
        assert (into_file.stdout, "dead letter archived" in into_file.stderr) == ("archived: 1\n", True)
        assert json.loads(file.read_text())["raw"]["body"] == first["body"]
        assert bbws("dlq", "archive", "order-pdf", environment=account).stdout == "archived: 1\n"
        assert bbws("dlq", "archive", "order-pdf", environment=account).stdout == "archived: 0\n"
        (listed,) = (await s3.list_objects_v2(Bucket=bucket, Prefix="dead-letters/order-pdf/"))["Contents"]
        stored = await s3.get_object(Bucket=bucket, Key=listed["Key"])
        assert json.loads(await stored["Body"].read())["queue"] == "order-pdf-dlq"


@pytest.mark.parametrize("name", [name for name in VECTORS if "ITN" in name])
def test_verify_itn_tells_whether_the_signature_holds(name: str, tmp_path: Path) -> None:
    """Vectors of PayFast's own SDKs and ours: exit 0 when it holds, 1 with one byte changed or another passphrase."""
    text, _, passphrase = VECTORS[name]["string"].partition("&passphrase=")
    body = f"{text}&signature={VECTORS[name]['signature']}\n".encode()
    options = ["--passphrase", passphrase] if passphrase else []
    (tmp_path / "itn").write_bytes(body)
    good = _invoke("payfast", "verify-itn", *options, str(tmp_path / "itn"))
    assert "the signature holds" in good.output
    assert good.exit_code == 0
    assert "\npayment_status = C" in good.output
    altered = body.replace(b"COMPLETE", b"COMPLETe").replace(b"CANCELLED", b"CANCELLEd")
    for given, given_options in ((altered, options), (body, ["--passphrase", "another"])):
        bad = _invoke("payfast", "verify-itn", *given_options, "-", given=given)
        assert bad.exit_code == 1
        assert bad.output.startswith("the signature does NOT hold")


def test_verify_itn_reads_standard_input_and_exits_with_zero() -> None:
    """`pbpaste | bbws payfast verify-itn -` is how a notice comes out of a log."""
    vector = VECTORS["V3 ITN once-off, passphrase jt7NOE43FZPn"]
    text, _, passphrase = vector["string"].partition("&passphrase=")
    body = f"{text}&signature={vector['signature']}".encode()
    done = bbws("payfast", "verify-itn", "-", given=body, environment={"BBWS_PAYFAST_PASSPHRASE": passphrase})
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "the signature holds")
    assert "amount_gross = 286.35" in done.stdout


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"=&=&", b"signature=", b"a=%zz", b"{}"])
def test_verify_itn_survives_what_is_no_notice(body: bytes) -> None:
    """Anybody may post anything; the operator who pastes it gets an answer."""
    answer = _invoke("payfast", "verify-itn", "-", given=body)
    assert answer.exit_code == 1
    assert answer.output.startswith("the signature does NOT hold")


def test_openapi_prints_a_valid_document() -> None:
    """Clients are generated from it."""
    document = _json(bbws("openapi"))
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_asyncapi_names_every_queue_and_every_event() -> None:
    """Whoever writes the next consumer starts from it."""
    document = _json(bbws("asyncapi"))
    assert document["asyncapi"] == "3.0.0"
    channels = {channel["address"] for channel in document["channels"].values()}
    assert channels == {queue.name for queue in Topology.for_settings(Settings()).queues}
    assert {event.__name__ for event in (InvoiceIssued, OrderCreated, RegistrationRequested)} <= document["components"][
        "schemas"
    ].keys()
    received = {operation["channel"]["$ref"] for operation in document["operations"].values()}
    assert received == {f"#/channels/{name}" for name in document["channels"]}


def test_the_version_is_told() -> None:
    """A bug report starts with it."""
    assert __version__ in _invoke("--version").output


def _invoke(*arguments: str, given: bytes = b"", environment: Mapping[str, str] | None = None) -> Result:
    return CliRunner(env=environment).invoke(cli, arguments, input=given, prog_name="bbws")


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
