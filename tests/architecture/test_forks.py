"""Processes of tests are forked from one that has imported what they need; a process has one such server."""

import importlib

from tests.architecture.support import ROOT
from tests.support import forks


def test_what_is_imported_is_said_in_one_place_and_exists() -> None:
    """Who says it last says it for all, and what cannot be imported is passed over: each fork would import again."""
    modules = (path for path in (ROOT / "tests").rglob("*.py") if path.name != "test_forks.py")
    saying = [path for path in modules if "set_forkserver_preload" in path.read_text(encoding="utf-8")]
    assert saying == [ROOT / "tests/support/forks.py"]
    for name in forks._IMPORTED:
        importlib.import_module(name)
