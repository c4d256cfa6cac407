"""The folder alone is a distribution."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "bbws/shared/sqs"

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


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder alone, with what was built from it in `dist`."""
    copy = tmp_path_factory.mktemp("alone") / "sqs"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    _build(copy, "-t", "sdist", "-t", "wheel")
    return copy


def _build(folder: Path, *targets: str) -> None:
    build = [sys.executable, "-m", "hatchling", "build", *targets]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)


def _wheel(folder: Path) -> zipfile.ZipFile:
    [wheel] = folder.glob("dist/faststream_sqs-*.whl")
    return zipfile.ZipFile(wheel)


@pytest.mark.process
def test_a_wheel_of_the_folder_works_without_bbws(copy: Path, tmp_path: Path) -> None:
    """Others can install and use the broker without anything else of this repository; `make package` does, in an
    environment of its own."""
    with _wheel(copy) as archive:
        packed = {name.removeprefix("faststream_sqs/") for name in archive.namelist()}
        archive.extractall(tmp_path / "installed")
    assert {str(file.relative_to(copy)) for file in copy.rglob("*.py")} | {"py.typed"} <= packed
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", USES_IT], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.process
def test_the_sdist_makes_the_same_wheel(copy: Path, tmp_path: Path) -> None:
    """Distributions of Linux build from it; a file that it lacks is missed by them alone."""
    [sdist] = copy.glob("dist/faststream_sqs-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [unpacked] = tmp_path.iterdir()
    _build(unpacked, "-t", "wheel")
    with _wheel(copy) as one, _wheel(unpacked) as other:
        assert one.namelist() == other.namelist()
        assert all(one.read(name) == other.read(name) for name in one.namelist())


@pytest.mark.process
def test_the_metadata_say_what_a_user_asks(copy: Path) -> None:
    """May I use it, what is it, does it have types, and what does it need: an index shows nothing else."""
    with _wheel(copy) as archive:
        names = {name.rsplit("/", 1)[-1]: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = HeaderParser().parsestr(archive.read(names["METADATA"]).decode())
        licence = archive.read(names["LICENSE"]).decode()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in licence
    assert str(metadata.get_payload()).startswith("# faststream-sqs")
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or [])
    assert set(metadata.get_all("Provides-Extra") or []) == {"cli", "otel", "prometheus"}


def test_its_bounds_are_the_same_wherever_they_are_told() -> None:
    """Whoever widens them in one place promises what `make package` never tried."""
    bounds = dict(map(_bounds, _project(FOLDER)["dependencies"]))
    ours = dict(map(_bounds, _project(ROOT)["dependencies"]))
    assert bounds["faststream"] == ours["faststream"]
    assert bounds["aiobotocore"] == ours["aiobotocore"]
    rows = [f"| {name} | {low} | {below} |".replace("|  |", "| |") for name, (low, below) in bounds.items()]
    guide = (ROOT / "docs/sqs.md").read_text()
    assert [row for row in rows if row not in guide] == []
    readme = (FOLDER / "README.md").read_text()
    assert f"faststream>={bounds['faststream'][0]},<{bounds['faststream'][1]}" in readme
    assert f"aiobotocore>={bounds['aiobotocore'][0]},<{bounds['aiobotocore'][1]}" in readme


def _project(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return project


def _bounds(requirement: str) -> tuple[str, tuple[str, str]]:
    """The lowest version, and the one that is too new."""
    found = re.match(r"([a-z-]+)(?:\[.*\])?(?:>=([0-9.]+))?(?:,<([0-9.]+))?", requirement)
    assert found, requirement
    return found[1], (found[2] or "", found[3] or "")


def test_its_requirements_name_what_it_imports() -> None:
    """A missing requirement shows only where nothing else brings it."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    named = {requirement.split(">")[0].split("[")[0] for requirement in project["dependencies"]}
    # Those that come with them: botocore with aiobotocore, the others with faststream and its extras.
    named |= {"botocore", "fast_depends", "typing_extensions", "anyio", "opentelemetry", "prometheus_client"}
    lines = [line.split() for file in FOLDER.rglob("*.py") for line in file.read_text().splitlines()]
    imported = {words[1].split(".")[0] for words in lines if words[:1] in (["import"], ["from"]) and len(words) > 1}
    assert imported - sys.stdlib_module_names - {""} <= named
