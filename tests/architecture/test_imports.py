"""Who may import whom. The layers are declared in pyproject.toml; what they cannot say is here."""

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.support import ROOT, areas, imported_names, imports, modules, told

# What a contract may stand on: values, the library that checks them, and the one that writes all our JSON.
_CONTRACTS_MAY = (
    "pydantic",
    "orjson",
    "bbws.shared.contracts",
    "bbws.shared.clock",
    "bbws.shared.ids",
)


def test_the_layers_hold() -> None:
    """An import against the direction makes two parts one, and nobody notices until they must be parted again."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_private_parts_of_faststream_are_imported_in_one_file() -> None:
    """FastStream may change them in any release; then there is one file to repair."""
    importing = {told(path) for path in modules("bbws") if any(map(_is_private_faststream, imported_names(path)))}
    assert importing == {"bbws/shared/sqs/_internal.py"}


def test_the_broker_imports_itself_relatively_and_nothing_else_of_ours() -> None:
    """The package is to be published alone, under another name."""
    for path in modules("bbws/shared/sqs"):
        assert not {name for name in imported_names(path) if name.split(".")[0] == "bbws"}, told(path)
        for node in imports(path):
            level = getattr(node, "level", 0)
            depth = len(path.relative_to(ROOT / "bbws/shared/sqs").parts)
            assert level <= depth, f"{told(path)}:{node.lineno} reaches out of the package"


def test_contracts_stand_on_values_alone() -> None:
    """A contract is read by other programs; one that drags clients and settings along cannot be shared."""
    for path in modules("bbws/shared/contracts"):
        for name in imported_names(path):
            allowed = name.split(".")[0] in sys.stdlib_module_names or name.startswith(_CONTRACTS_MAY)
            assert allowed, f"{told(path)} imports {name}"


def test_areas_meet_in_events_and_repositories() -> None:
    """An area that calls another's services decides in its place; then neither can be changed alone."""
    for area in areas():
        for path in modules(f"bbws/shared/{area}"):
            for name in imported_names(path):
                other, _, part = name.removeprefix("bbws.shared.").partition(".")
                is_foreign = name.startswith("bbws.shared.") and other in areas() - {area}
                assert not is_foreign or part.startswith("repositories"), f"{told(path)} imports {name}"


def test_contracts_of_imports_name_every_area() -> None:
    """An area that they do not name is one that they do not hold."""
    linted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    roles = next(contract for contract in linted if "services" in contract.get("layers", []))
    assert {container.removeprefix("bbws.shared.") for container in roles["containers"]} == areas()


def _is_private_faststream(name: str) -> bool:
    head, *rest = name.split(".")
    return head == "faststream" and any(part.startswith("_") for part in rest)
