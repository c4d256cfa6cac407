"""What can be said of the image without building it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.support import ROOT

DOCKERFILE = ROOT / "deploy/Dockerfile"
SCRIPTS = [ROOT / "deploy/install-system-packages.sh", ROOT / ".ci/run"]
# What `bbws[local]` and `bbws[dev]` bring and the image therefore lacks.
NOT_IN_THE_IMAGE = ("ministack", "hypercorn", "localstack_client", "boto3", "pytest", "yaml")


def test_hadolint_finds_nothing() -> None:
    """Its rules are the mistakes that make images large, insecure or different tomorrow."""
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.process
def test_processes_run_without_the_emulator_installed() -> None:
    """The image has the packages of runtime.lock alone; an import of anything else stops it right at its start."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({NOT_IN_THE_IMAGE!r}))"
    imports = "import bbws.cli, bbws.commands, bbws.consumers.app, bbws.gateway.app, bbws.gateway.openapi"
    done = subprocess.run(
        [sys.executable, "-c", f"{blocked}\n{imports}\n"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_image_installs_what_weasyprint_needs() -> None:
    """A library that is missing shows with the first invoice only; laptop and image must name the same packages."""
    script = SCRIPTS[0].read_text()
    packages = re.search(r'^packages="([^"]+)"', script, re.MULTILINE)
    assert packages
    for package in packages[1].split():
        assert re.search(rf"\s{re.escape(package)}\s", DOCKERFILE.read_text()), package


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    """A shell script fails on the one machine where a variable is empty; shellcheck says so before, where it is."""
    shell = script.read_text().splitlines()[0].rpartition("/")[2].split()[-1]
    linter = ["shellcheck"] if shutil.which("shellcheck") else [shell, "-n"]
    done = subprocess.run([*linter, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
