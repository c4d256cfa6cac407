"""Whatever stands under a tenant has said what of it is personal (`core/tenant_items.py`)."""

import ast
import pkgutil
from importlib import import_module

import bbws.shared
from bbws.shared.bootstrap import TENANT_ITEMS
from bbws.shared.core.tenant_items import Kind, OrderItems, TenantItems
from tests.architecture.support import imports, modules, told

# Who may make a key under a tenant or beside an order, and why.
_MAKE_KEYS = {
    "bbws/shared/core/tenant_items.py": "with a kind, for everybody else",
    "bbws/shared/tenancy/repositories/tenant_records.py": "to walk all of it",
    "bbws/shared/sales/repositories/orders.py": "to tell the story of an order from all that stands beside it",
}


def test_every_kind_of_items_is_listed() -> None:
    """A purge passes over nothing that is stored: what is not listed would stop it, or stay for ever."""
    declared = {id(kind): kind for kind in _declared()}
    assert len(declared) > 10
    assert declared.keys() == {id(kind) for kind in TENANT_ITEMS}


def test_no_two_kinds_share_a_name_in_a_table() -> None:
    """A purge tells them apart by it: one of the two would be erased as the other."""
    names = [(kind.table, kind.name) for kind in TENANT_ITEMS]
    assert len(names) == len(set(names))


def test_keys_under_a_tenant_are_made_with_a_kind() -> None:
    """Whoever makes them by hand stores what no purge knows of."""
    makers = {
        told(path)
        for path in modules("bbws")
        for node in imports(path)
        if isinstance(node, ast.ImportFrom)
        and {alias.name for alias in node.names} & {"tenant_partition", "order_partition"}
    }
    assert makers == set(_MAKE_KEYS)


def test_no_key_of_a_tenant_is_written_out() -> None:
    """As above, without the import."""
    by_hand = {
        told(path)
        for path in modules("bbws")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr) and node.values and _begins(node.values[0], "TENANT#")
    }
    assert by_hand == {"bbws/shared/dynamo/keys.py"}


def _begins(part: ast.expr, start: str) -> bool:
    return isinstance(part, ast.Constant) and str(part.value).startswith(start)


def _declared() -> list[Kind]:
    names = [module.name for module in pkgutil.walk_packages(bbws.shared.__path__, "bbws.shared.")]
    kinds = TenantItems, OrderItems
    return [value for name in names for value in vars(import_module(name)).values() if isinstance(value, kinds)]
