"""The broker is used as a package of somebody else's would be: by what it exports."""

import ast
from collections.abc import Iterator
from pathlib import Path

from bbws.shared import sqs
from tests.architecture.support import imports, modules, told

_BROKER = "bbws.shared.sqs"
_ITS_OWN = ("bbws/shared/sqs/", "tests/shared/sqs/")
_PUBLIC = {"annotations", "dead_letters", "opentelemetry", "prometheus", "signed", "testing", "wire"}


def test_nobody_imports_the_insides_of_the_broker() -> None:
    """What is imported from outside can no longer be changed inside."""
    outside = [path for path in modules(".") if not told(path).startswith(_ITS_OWN) and "sqs" in path.read_text()]
    used = [(told(path), name) for path in outside for name in _used(path)]
    assert {path for path, _ in used} >= {
        "bbws/consumers/health.py",
        "benchmarks/consumers.py",
        "examples/sqs/basic.py",
    }
    assert not [(path, name) for path, name in used if name not in _PUBLIC | set(sqs.__all__)]


def test_what_is_public_is_documented() -> None:
    """The list above is the one that users read."""
    assert all(f"`{name}`" in (sqs.__doc__ or "") for name in _PUBLIC)


def _used(path: Path) -> Iterator[str]:
    """Names and modules of the broker that a module imports, without what lies deeper in them."""
    for node in imports(path):
        of = "" if isinstance(node, ast.Import) else f"{node.module}."
        for alias in node.names:
            if (name := of + alias.name).startswith(f"{_BROKER}."):
                yield name.removeprefix(f"{_BROKER}.").split(".")[0]
