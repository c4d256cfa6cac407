"""Every URL stands once: its route at the foot of the module that answers it, and on the page that lists them all."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from bbws.gateway.route import Route
from bbws.gateway.routes import ROUTES, STOREFRONT
from tests.architecture.support import ROOT, modules, told

PAGE = ROOT / "bbws/gateway/routes.py"


def test_every_route_is_on_the_page() -> None:
    """A route that the page does not list is answered by nobody, and its handler looks as if it were."""
    feet = [route for path in modules("bbws/gateway") if path != PAGE for route in _routes_of(path)]
    assert {route.operation_id for route in feet} == {route.operation_id for route in (*ROUTES, *STOREFRONT)}


def test_addresses_in_answers_are_made_from_the_routes() -> None:
    """An address written by hand is right until its route moves, and a client that follows it falls."""
    for path in modules("bbws/gateway/api"):
        assert not list(_addresses(ast.parse(path.read_text()))), told(path)


def _routes_of(path: Path) -> tuple[Route, ...]:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    routes: tuple[Route, ...] = getattr(import_module(name), "ROUTES", ())
    return routes


def _addresses(node: ast.AST) -> Iterator[str]:
    """Texts that begin with a slash or name the API's version, but for the paths of routes and for docstrings."""
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (node.value[:1] == "/" or "v1.0" in node.value)
    ):
        yield node.value
    for child in ast.iter_child_nodes(node):
        is_path = isinstance(child, ast.keyword) and child.arg == "path"
        is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        if not is_path and not is_docstring:
            yield from _addresses(child)
