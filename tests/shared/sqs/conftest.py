"""Fixtures of the broker's tests."""

import pytest

from tests.shared.sqs.worlds import Emulated, Memory, World
from tests.support.emulator import Aws


@pytest.fixture(params=["memory", "emulator"])
def world(request: pytest.FixtureRequest) -> World:
    """Each behaviour is asked of both brokers."""
    if request.param == "memory":
        return Memory()
    aws: Aws = request.getfixturevalue("aws")
    return Emulated(aws)


@pytest.fixture(autouse=True)
def _no_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSTREAM_SUPERVISOR_DISABLED", "1")
