"""The folder alone is a distribution."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "bbws/shared/sqs"

USES_IT = """
import asyncio, sys
from faststream_sqs import SQSBroker, SQSQueue, TestSQSBroker
from faststream_sqs.opentelemetry import SQSTelemetryMiddleware
from faststream_sqs.prometheus import SQSPrometheusMiddleware

broker, got = SQSBroker(), []


@broker.subscriber(SQSQueue("alone", fifo=True))
async def handle(number: int) -> None:
    got.append(number)

async def main() -> None:
    async with TestSQSBroker(broker):
        await broker.publish(1, "alone.fifo", group_id="g", deduplication_id="d")

asyncio.run(main())
assert got == [1]
strangers = [name for name in sys.modules if name.split(".")[0] == "bbws"]
assert not strangers, strangers
"""


@pytest.mark.process
def test_a_wheel_of_the_folder_works_without_bbws(tmp_path: Path) -> None:
    """Others can install and use the broker without anything else of this repository."""
    copy = tmp_path / "sqs"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").glob("faststream_sqs-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix("faststream_sqs/") for name in archive.namelist()}
        archive.extractall(tmp_path / "installed")
    assert {str(file.relative_to(copy)) for file in copy.rglob("*.py")} | {"py.typed"} <= packed
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", USES_IT], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_its_requirements_name_what_it_imports() -> None:
    """A missing requirement shows only where nothing else brings it."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    named = {requirement.split(">")[0].split("[")[0] for requirement in project["dependencies"]}
    # Those that come with them: botocore with aiobotocore, the others with faststream and its extras.
    named |= {"botocore", "fast_depends", "typing_extensions", "anyio", "opentelemetry", "prometheus_client"}
    lines = [line.split() for file in FOLDER.rglob("*.py") for line in file.read_text().splitlines()]
    imported = {words[1].split(".")[0] for words in lines if words[:1] in (["import"], ["from"]) and len(words) > 1}
    assert imported - sys.stdlib_module_names - {""} <= named
