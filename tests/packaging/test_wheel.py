"""The wheel alone is the product: what it forgets works in a checkout and nowhere else."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO_WITHIN_S = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment that has the wheel, and of the checkout nothing but the packages it depends on."""
    environment = tmp_path_factory.mktemp("environment")
    _run([sys.executable, "-m", "venv", "--without-pip", environment])
    python = environment / "bin/python"
    uv = Path(sys.executable).with_name("uv")
    _run([uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel])
    # A path in a .pth file is added as it is: the .pth in that folder, which leads to the checkout, is not followed.
    [site_packages] = environment.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


def test_the_wheel_carries_all_that_is_no_python(wheel: Path) -> None:
    """Templates, pages and the topology are read at run time only: nothing fails before the first invoice."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"bbws/py.typed", "bbws/shared/topology.json"} <= names
    assert {f"bbws/_{path.relative_to(ROOT)}" for path in _data_files("templates")} <= names
    assert {str(path.relative_to(ROOT)) for path in _data_files("bbws")} <= names


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    """Tests and tools of the repository, or the templates again, would lie among the packages of others."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bbws"}


@pytest.mark.e2e
def test_the_demo_runs_from_any_folder(installed: Path, tmp_path: Path) -> None:
    """A user has the package and no checkout, and calls it where they happen to be."""
    where = _run([installed / "bin/python", "-c", "import bbws; print(bbws.__file__)"], cwd=tmp_path)
    assert where.strip().startswith(str(installed))
    said = _run([installed / "bin/bbws", "demo"], cwd=tmp_path)
    assert said.splitlines()[-1] == "dead letters: 0"
    assert list(tmp_path.glob(".bbws/demo/INV-*.pdf"))


def _data_files(folder: str) -> list[Path]:
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [path for path in files if path.suffix not in (".py", ".pyc") and not path.name.startswith(".")]


def _run(command: list[str | Path], cwd: Path | None = None) -> str:
    """What the command printed; fails the test with its errors."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BBWS_"))}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=DEMO_WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
