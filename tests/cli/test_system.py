"""The commands that run and provision the system."""

from pathlib import Path

import pytest

from tests.cli.support import NOBODY, invoke
from tests.support.commands import account_of, bbws
from tests.support.emulator import Aws


def test_an_unknown_consumer_is_told_with_those_that_exist() -> None:
    """A misspelt name in a task definition must not look like a consumer with nothing to do."""
    answer = invoke("consumer", "order-records")
    assert answer.exit_code == 2
    assert (
        "there is no consumer order-records; there are order-record, order-pdf, notify, housekeeping" in answer.output
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
