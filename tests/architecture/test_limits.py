"""No test can hold up the others for ever, and one that tries says what it waited for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HANGS = """
import asyncio

async def nothing_comes():
    await asyncio.Event().wait()

async def test_hangs():
    await asyncio.create_task(nothing_comes())
"""


def test_every_test_has_a_time_limit(request: pytest.FixtureRequest) -> None:
    """One that PayFast never answers would keep CI waiting; zero switches a limit off."""
    assert float(request.config.getini("timeout")) > 0
    marked = [(item.nodeid, item.get_closest_marker("timeout")) for item in request.session.items]
    assert [name for name, marker in marked if marker and not (marker.args and marker.args[0] > 0)] == []


@pytest.mark.process
def test_a_test_over_its_limit_fails_and_says_where_it_waited(tmp_path: Path) -> None:
    """The event loop waits in `select`, whatever the test waits for: that helps nobody."""
    test = tmp_path / "test_hangs.py"
    test.write_text(HANGS)
    settings = ["-o", "asyncio_mode=auto", "-o", "timeout=1", "-p", "no:cacheprovider", "-p", "tests.support.limits"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *settings, "--rootdir", tmp_path, test],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "await asyncio.create_task(nothing_comes())" in done.stdout
    assert "await asyncio.Event().wait()" in done.stdout
