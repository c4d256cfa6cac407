"""The marker `quick`: what a test at the desk need not wait for is found out from what each test uses.

A test is quick unless it takes what starts a process, through whatever fixtures, or says by a marker that it starts one
itself. `make quick` runs those; whoever writes a test does nothing for it.
"""

import pytest

# The AWS, the processes that draw PDFs, the package built and installed.
_FIXTURES = frozenset({"emulator", "pdf", "wheel"})
_MARKERS = ("process", "e2e", "browser")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First, so that `-m` sees the marker."""
    for item in items:
        if _is_quick(item):
            item.add_marker("quick")


def _is_quick(item: pytest.Item) -> bool:
    takes = getattr(item, "fixturenames", ())
    return _FIXTURES.isdisjoint(takes) and not any(item.get_closest_marker(name) for name in _MARKERS)
