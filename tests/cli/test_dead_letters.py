"""`bbws dlq` as an operator uses it."""

import json
from pathlib import Path

import pytest

from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.cli.support import NOBODY, invoke, json_of, one_line
from tests.support.commands import account_of, bbws
from tests.support.emulator import Aws


async def _bury(aws: Aws, *bodies: str) -> None:
    """Each is a dead letter of `order-pdf`, with its own reason."""
    async with aws.client("sqs") as sqs:
        url = (await sqs.get_queue_url(QueueName="order-pdf-dlq"))["QueueUrl"]
        for body in bodies:
            attributes = {"dead-letter-reason": {"DataType": "String", "StringValue": f"Conflict: {body}"}}
            await sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)


def test_an_unknown_queue_is_one_line() -> None:
    """And it lists those that exist."""
    assert "no queue nosuch; there are customer-notify" in one_line(
        bbws("dlq", "show", "nosuch", environment={"AWS_ENDPOINT_URL": NOBODY})
    )


@pytest.mark.needs("sqs")
async def test_dead_letters_can_be_listed_shown_mended_redriven_and_dropped(
    aws: Aws, provisioned: Settings, tmp_path: Path
) -> None:
    """The way an operator goes; what programs read is JSON and nothing else."""
    await _bury(aws, "one", "two")
    account = account_of(aws)
    assert "order-pdf-dlq                  2, oldest from" in bbws("dlq", "list", environment=account).stdout
    (listed,) = [entry for entry in json_of(bbws("dlq", "list", "--json", environment=account)) if entry["depth"]]
    assert {(each["reason"], each["count"]) for each in listed["byReason"]} == {
        ("Conflict: one", 1),
        ("Conflict: two", 1),
    }
    (shown,) = json_of(bbws("dlq", "show", "order-pdf", "--reason", "conflict: TWO", environment=account))
    assert (shown["body"], shown["reason"]) == ("two", "Conflict: two")
    dry = bbws("dlq", "redrive", "order-pdf", "--dry-run", environment=account)
    assert (f"{shown['id']}  Conflict: two\n" in dry.stdout, dry.stdout.splitlines()[-1]) == (
        True,
        "would be redriven: 2",
    )
    (tmp_path / "payload").write_text("three\n")
    edited = bbws("dlq", "edit", "order-pdf", "--id", shown["id"], str(tmp_path / "payload"), environment=account)
    assert "dead letter edited" in edited.stderr
    (shown,) = json_of(bbws("dlq", "show", "order-pdf", "--reason", "conflict: TWO", environment=account))
    assert (edited.stdout, shown["body"]) == (f"edited: {shown['id']}\n", "three")
    redriven = bbws("dlq", "redrive", "order-pdf", "--id", shown["id"], "--rate", "50", environment=account)
    assert (redriven.stdout, "dead letter redriven" in redriven.stderr) == ("redriven: 1\n", True)
    assert invoke("dlq", "drop", "order-pdf", given=b"n\n").exit_code == 1
    assert bbws("dlq", "drop", "order-pdf", "--yes", environment=account).stdout == "dropped: 1\n"


async def test_dead_letters_are_archived_in_a_bucket_or_a_file(aws: Aws, provisioned: Settings, tmp_path: Path) -> None:
    """What nobody will redrive leaves the queue and is not lost; an alarm on the queue can be quiet again."""
    bucket = Topology.for_settings(provisioned).bucket("documents").name
    account = account_of(aws)
    async with aws.client("sqs") as sqs, aws.client("s3") as s3:
        url = (await sqs.get_queue_url(QueueName="order-pdf-dlq"))["QueueUrl"]
        for body in ("one", "two"):
            await sqs.send_message(QueueUrl=url, MessageBody=body)
        (first, _) = json_of(bbws("dlq", "show", "order-pdf", environment=account))
        file = tmp_path / "letters.jsonl"
        into_file = bbws("dlq", "archive", "order-pdf", "--id", first["id"], "--file", str(file), environment=account)
        assert (into_file.stdout, "dead letter archived" in into_file.stderr) == ("archived: 1\n", True)
        assert json.loads(file.read_text())["raw"]["body"] == first["body"]
        assert bbws("dlq", "archive", "order-pdf", environment=account).stdout == "archived: 1\n"
        assert bbws("dlq", "archive", "order-pdf", environment=account).stdout == "archived: 0\n"
        (listed,) = (await s3.list_objects_v2(Bucket=bucket, Prefix="dead-letters/order-pdf/"))["Contents"]
        stored = await s3.get_object(Bucket=bucket, Key=listed["Key"])
        assert json.loads(await stored["Body"].read())["queue"] == "order-pdf-dlq"


async def test_the_same_choice_is_meant_by_every_deed(aws: Aws, provisioned: Settings, tmp_path: Path) -> None:
    """Whoever looks first, or asks for a dry run, must see what the deed will take, and nothing else."""
    await _bury(aws, "one", "two", "three", "four")
    account = account_of(aws)
    letters = {each["body"]: each["id"] for each in json_of(bbws("dlq", "show", "order-pdf", environment=account))}
    for choice, body in ((("--reason", "TWO"), "two"), (("--id", letters["one"]), "one")):
        (shown,) = json_of(bbws("dlq", "show", "order-pdf", *choice, environment=account))
        dry = bbws("dlq", "redrive", "order-pdf", *choice, "--dry-run", environment=account)
        told = f"{letters[body]}  Conflict: {body}\nwould be redriven: 1\n"
        assert (shown["id"], dry.stdout) == (letters[body], told)
    archived = bbws("dlq", "archive", "order-pdf", "--reason", "three", environment=account)
    dropped = bbws("dlq", "drop", "order-pdf", "--yes", "--reason", "four", environment=account)
    redriven = bbws("dlq", "redrive", "order-pdf", "--reason", "two", environment=account)
    assert [archived.stdout, dropped.stdout, redriven.stdout] == ["archived: 1\n", "dropped: 1\n", "redriven: 1\n"]
    (left,) = json_of(bbws("dlq", "show", "order-pdf", environment=account))
    assert left["id"] == letters["one"]
