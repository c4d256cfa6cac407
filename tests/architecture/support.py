"""The repository as data: which files git knows, and what each module imports."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is committed or would be: git's list, plus new files that .gitignore lets through."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def modules(folder: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / folder)]


def areas() -> set[str]:
    """Packages of `bbws.shared` that decide something: those with services."""
    return {path.parent.parent.name for path in modules("bbws/shared") if path.parent.name == "services"}


def services() -> list[Path]:
    """The modules in which decisions are made; `changes.py` is what the services of an area share."""
    return [
        path
        for area in areas()
        for path in modules(f"bbws/shared/{area}")
        if path.parent.name == "services" or path.name == "changes.py"
    ]


def imports(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import of a module, those inside functions as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node


def imported_names(path: Path) -> set[str]:
    """Absolute names of imported modules; relative imports are left out."""
    names: set[str] = set()
    for node in imports(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif node.level == 0 and node.module:
            names.add(node.module)
    return names


def told(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
