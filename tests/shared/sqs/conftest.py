"""Fixtures of the broker's tests."""

import pytest

from tests.shared.sqs.worlds import Emulated, Memory, World
from tests.support.emulator import Aws

# What `getfixturevalue` takes, nobody sees beforehand.
_ON_THE_EMULATOR = pytest.mark.process


@pytest.fixture(params=["memory", *(pytest.param(name, marks=_ON_THE_EMULATOR) for name in ("emulator", "botocore"))])
def world(request: pytest.FixtureRequest) -> World:
    """Each behaviour is asked of both brokers; what differs on the wire, of the client on botocore as well."""
    if request.param == "memory":
        return Memory()
    aws: Aws = request.getfixturevalue("aws")
    return Emulated(aws, client="botocore" if request.param == "botocore" else "fast")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only tests marked `both_clients` pay for the second client."""
    items[:] = [item for item in items if item.get_closest_marker("both_clients") or not _is_on_botocore(item)]


def _is_on_botocore(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("world") == "botocore"


@pytest.fixture(autouse=True)
def _no_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSTREAM_SUPERVISOR_DISABLED", "1")
