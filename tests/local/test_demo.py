"""What `bbws demo` does to a folder; that it sells is tested with the wheel."""

from pathlib import Path

import pytest

from bbws.commands.system import run_demo
from bbws.local.errors import UpFailed


async def test_a_folder_with_somebody_elses_files_is_left_alone(tmp_path: Path) -> None:
    """The demo empties its folder first: with `--home ~` that would be a home."""
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    with pytest.raises(UpFailed, match="--home"):
        await run_demo(tmp_path, verbose=False, say=print)
    assert precious.read_text() == "years of work"
