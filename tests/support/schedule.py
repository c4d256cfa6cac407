"""Which process runs what, when tests run in several: files stay whole, and what takes longest begins first.

The tests of a module share accounts and processes, so a file is never split. Tests of the whole system are one piece:
each starts seven processes, and two systems side by side would only wait for each other.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# What begins late and takes long is waited for by everybody else at the end.
_FIRST = ("tests/e2e/", "tests/shared/sqs/", "tests/consumers/", "tests/packaging/", "tests/deploy/")
_ONE_PIECE = "tests/e2e/"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _turn(item.nodeid))


def _turn(nodeid: str) -> int:
    return next((turn for turn, folder in enumerate(_FIRST) if nodeid.startswith(folder)), len(_FIRST))


class _WholeFiles(LoadScopeScheduling):  # type: ignore[misc]  # it has no type hints
    def _split_scope(self, nodeid: str) -> str:
        return _ONE_PIECE if nodeid.startswith(_ONE_PIECE) else nodeid.split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _WholeFiles | None:
    """In the place of `loadfile`, and in the order above."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return _WholeFiles(config, log)
