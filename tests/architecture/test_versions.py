"""The next version of a record is made by `Record.changed`, and by nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.support import areas, modules, told

_UNVALIDATED = {"model_copy", "model_construct", "__replace__"}


def test_no_record_is_copied_past_its_validation() -> None:
    """An order with a status that does not exist is stored without a word, and nobody can read it again."""
    assert not [f"{told(path)}:{line}" for path in _behaviour() for line in _copies(_parsed(path))]


def test_no_version_is_counted_by_hand() -> None:
    """A change that forgets to count is lost under the next one: the condition of its write holds twice."""
    assert not [f"{told(path)}:{line}" for path in _behaviour() for line in _counts(_parsed(path))]


@pytest.mark.parametrize(
    "code",
    [
        "order.version + 1",
        "1 + version",
        "item['version'] + 1",
        "order.changed(version=before + 1)",
        "{'version': before + 1}",
    ],
)
def test_counting_is_seen_however_it_is_written(code: str) -> None:
    """A rule that its breach walks around is none."""
    assert list(_counts(ast.parse(code)))


def _behaviour() -> list[Path]:
    return [path for package in ("core", *areas()) for path in modules(f"bbws/shared/{package}")]


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _copies(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _UNVALIDATED:
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "copy":
            yield node.lineno


def _counts(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(left, ast.Add(), right) if _is_version(left) or _is_version(right):
                yield node.lineno
            case ast.keyword("version", ast.BinOp()):
                yield node.value.lineno
            case ast.Dict(keys, values):
                named = zip(keys, values, strict=True)
                yield from (
                    value.lineno for key, value in named if key and _is_version(key) and isinstance(value, ast.BinOp)
                )


def _is_version(node: ast.expr) -> bool:
    match node:
        case ast.Name("version") | ast.Attribute(attr="version") | ast.Constant("version"):
            return True
        case ast.Subscript(slice=key):
            return _is_version(key)
    return False
