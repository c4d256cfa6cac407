"""Rules on files that no linter knows."""

import re
import tomllib
from pathlib import Path

from tests.architecture.support import ROOT, modules, told, tracked

# A test module may be longer: its tests are read one at a time.
LONGEST_LINES = {"bbws": 450, "benchmarks": 450, "tests": 600}
_JUNK_DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}
# The brackets keep this file from finding itself.
_PLACES = re.compile(r"/[h]ome/\w|/[r]oot/|/[U]sers/\w|[A-Z]:\\[U]sers")
_REGISTRIES = re.compile(r"https?://[p]ypi\.|[f]iles\.pythonhosted|[r]egistry\.npmjs")
_SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore)\b(.*)")


def test_no_module_is_too_long_to_read() -> None:
    """What is longer holds two ideas, and is read by nobody from start to end."""
    too_long = {
        told(path): lines
        for folder, longest in LONGEST_LINES.items()
        for path in modules(folder)
        if (lines := path.read_text().count("\n")) > longest
    }
    assert not too_long


def test_no_module_is_a_junk_drawer() -> None:
    """A name that says nothing collects everything."""
    assert not [told(path) for path in modules("bbws") if _JUNK_DRAWERS & set(path.with_suffix("").parts)]


def test_nothing_names_a_place_of_one_machine() -> None:
    """A path or an index address of the machine it was written on works there and nowhere else."""
    for path in tracked():
        for number, line in enumerate(_text(path).splitlines(), 1):
            assert not _PLACES.search(line), f"{told(path)}:{number} names a folder of a machine"
            assert not _REGISTRIES.search(line), f"{told(path)}:{number} names a package registry"


def test_locks_pin_every_package_by_hash_and_name_no_index() -> None:
    """A lock without hashes installs whatever the index serves today; one with an address installs from there only."""
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert {lock.name for lock in locks} == {"build.lock", "dev.lock", "local.lock", "runtime.lock"}
    for lock in locks:
        entries = re.split(r"\n(?=\S)", lock.read_text().strip())
        for entry in entries:
            assert re.match(r"[a-z0-9._-]+(\[[a-z,-]+\])?==\S+", entry, re.IGNORECASE), f"{lock.name}: {entry[:60]}"
            assert "--hash=sha256:" in entry, f"{lock.name}: {entry[:60]}"
        assert "index-url" not in lock.read_text()


def test_every_suppression_says_which_rule() -> None:
    """`noqa` alone hides the errors of tomorrow too."""
    for path in tracked():
        if path.suffix != ".py":
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for kind, rest in _SUPPRESSION.findall(line):
                coded = re.match(r":\s*[A-Z]+\d+", rest) if kind == "noqa" else re.match(r"\[[a-z-]+", rest)
                assert coded, f"{told(path)}:{number}: {kind} without a code"


def test_every_ignored_rule_of_ruff_has_its_reason() -> None:
    """A rule that is off for all files and nobody knows why stays off for ever."""
    text = (ROOT / "pyproject.toml").read_text()
    block = text.partition("\nignore = [")[2].partition("\n]")[0]
    codes = set(tomllib.loads(text)["tool"]["ruff"]["lint"]["ignore"])
    explained = {code for line in block.splitlines() if "#" in line for code in re.findall(r'"([A-Z]+\d+)"', line)}
    assert explained == codes


def _text(path: Path) -> str:
    """Empty for what is no text."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""
