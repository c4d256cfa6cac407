"""What `bbws demo` does to a folder; that it sells is tested with the wheel."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bbws.commands.system import run_demo
from bbws.local.demo import _tell_queues
from bbws.local.errors import DemoFailed, UpFailed
from bbws.local.up import System
from bbws.shared.settings import Settings
from tests.support.emulator import Aws


async def test_a_folder_with_somebody_elses_files_is_left_alone(tmp_path: Path) -> None:
    """The demo empties its folder first: with `--home ~` that would be a home."""
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    with pytest.raises(UpFailed, match="--home"):
        await run_demo(tmp_path, verbose=False, say=print)
    assert precious.read_text() == "years of work"


@pytest.mark.needs("sqs")
async def test_a_dead_letter_fails_the_demo(aws: Aws, provisioned: Settings) -> None:
    """All mails may be out and something has died all the same; the exit code must say so."""
    system, said = cast(System, SimpleNamespace(settings=provisioned)), list[str]()
    await _tell_queues(system, said.append)
    assert said[-1] == "dead letters: 0"
    async with aws.client("sqs") as sqs:
        url = (await sqs.get_queue_url(QueueName="order-pdf-dlq"))["QueueUrl"]
        await sqs.send_message(QueueUrl=url, MessageBody="{}")
    with pytest.raises(DemoFailed, match="there are dead letters"):
        await _tell_queues(system, said.append)
    assert said[-1] == "dead letters: 1"
