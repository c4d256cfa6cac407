"""Builds the broker's wheel and sdist, installs each alone into an empty environment, and uses it there.

    python -m tests.packaging.alone DIRECTORY

The wheel is used with the lowest versions that its metadata allow, the sdist with the newest ones. It needs the index
that pip is configured for. What was built is left in DIRECTORY.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from email.parser import HeaderParser
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

from bbws.local.emulator_process import Emulator
from tests.docs.test_code import GUIDE, files

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "bbws/shared/sqs"
HERE = Path(__file__).parent
EXTRAS = "otel,prometheus,cli"
# Beside the package and what it brings: what `use.py` looks at spans with, and the FastAPI of the guide.
TOOLS = ("opentelemetry-sdk", "faststream-fastapi", "uvicorn")
WITHIN_S = 300
_LOWEST = re.compile(r"^([a-z0-9-]+)>=([0-9.]+)(,<[0-9.]+)?$")


def built(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist."""
    for old in folder.glob("faststream_sqs-*"):
        old.unlink()
    _run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=FOLDER)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def lowest(wheel: Path) -> list[str]:
    """The lower bound of each requirement, pinned. A requirement without one fails: nobody knows what it needs."""
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    required = [line.replace(" ", "") for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    bounds = [_LOWEST.match(",".join(sorted(_parts(line), key=lambda part: "<" in part))) for line in required]
    assert all(bounds), required
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]


def _parts(requirement: str) -> list[str]:
    """`a<4,>=3.9` as `a>=3.9` and `<4`, in whichever order the metadata have them."""
    name, bounds = re.match(r"^([A-Za-z0-9-]+)(.*)$", requirement).groups()  # type: ignore[union-attr]
    return [name + part if part.startswith(">=") else part for part in bounds.split(",")]


async def use(package: Path, pins: Sequence[str]) -> None:
    """In an environment of its own, against an AWS that runs in ours."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        python = base / "environment/bin/python"
        await asyncio.to_thread(_install, python, package, pins)
        (base / "web.py").write_text(files(GUIDE)["web.py"])
        async with Emulator(base / "state", base / "mails") as emulator:
            environment = {
                "AWS_ENDPOINT_URL": emulator.endpoint_url,
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": "alone",
                "AWS_SECRET_ACCESS_KEY": "test",
            }
            for script in ("use.py", "use_fastapi.py"):
                command: list[str | Path] = [python, HERE / script, emulator.endpoint_url]
                print(await asyncio.to_thread(_run, command, base, environment), end="", flush=True)


def _install(python: Path, package: Path, pins: Sequence[str]) -> None:
    environment = python.parents[1]
    _run([sys.executable, "-m", "venv", "--without-pip", environment])
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    _run([*pip, "install", "--quiet", f"{package}[{EXTRAS}]", *pins, *TOOLS])


def _run(command: Sequence[str | Path], cwd: Path | None = None, variables: dict[str, str] | None = None) -> str:
    """What it printed; ends with its errors where it fails. Nothing of the checkout is on its path."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS_", "BBWS_"))}
    done = subprocess.run(
        command, cwd=cwd, env=clean | (variables or {}), capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def main(folder: Path) -> None:
    assert find_spec("faststream_sqs") is None, "here it must not be installed: each environment gets its own"
    wheel, sdist = built(folder)
    pins = lowest(wheel)
    asyncio.run(use(wheel, pins))
    asyncio.run(use(sdist, ()))
    print(f"{wheel.name} was used with {', '.join(pins)}; {sdist.name} with the newest there are")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
