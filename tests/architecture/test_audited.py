"""No service changes anything behind the audit trail's back."""

import ast
from collections.abc import Iterator

from tests.architecture.support import services

_WRITES = {"write", "transact", "commit"}
# What makes an entry: the trail itself, and a change of a tenant, which brings its own.
_ENTRIES = {"entry", "prepared"}
# Changes without an entry, and why they need none.
_UNAUDITED = {
    "PaymentNotices._decide": "judges a stored notice; whatever was paid is told by _confirm",
    "PaymentNotices._postpone": "says when a stored notice is judged again",
    "AuditTrails._extend": "seals entries",
    "Users._commit": "writes what was made for it, the entry among it",
    "Staff._take_and_apply": "takes what was wished, and told then, to bring the groups after",
    "Staff._apply": "says that the groups are as wished",
    "TenantRecords._next": "how far a purge is; that it was ordered and done is told",
    "TenantRecords._write": "erases, of a purge that is told as a whole",
}


def test_every_change_of_a_service_writes_its_entry() -> None:
    """A change that the trail does not tell is one that nobody can answer for."""
    silent = {name for path in services() for name in _silent(ast.parse(path.read_text()))}
    assert silent == set(_UNAUDITED)


def _silent(tree: ast.Module) -> Iterator[str]:
    """Methods that write, and neither make an entry nor call a method of their class that does."""
    for service in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        calls = {
            method.name: set(_called(method))
            for method in service.body
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for name, called in calls.items():
            if called & _WRITES and not _makes_entry(name, calls, set()):
                yield f"{service.name}.{name}"


def _called(method: ast.AST) -> Iterator[str]:
    """Names of the methods that are called: of `self`, and of what `self` holds."""
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr


def _makes_entry(name: str, calls: dict[str, set[str]], seen: set[str]) -> bool:
    if name in seen or name not in calls:
        return False
    seen.add(name)
    return bool(_ENTRIES & calls[name]) or any(_makes_entry(called, calls, seen) for called in calls[name])
