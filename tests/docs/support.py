"""The documents, and how a setting is written in them."""

from pathlib import Path

from pydantic import AliasChoices, SecretStr

from bbws.shared.settings import Settings

ROOT = Path(__file__).parents[2]


def documents() -> list[Path]:
    """Every document of ours for people; pages that explain one package stand beside it."""
    folders = [ROOT / "docs", ROOT / "deploy", ROOT / "benchmarks", ROOT / "bbws"]
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(page for f in folders for page in f.rglob("*.md"))]


def variable(field: str) -> str:
    """The name that documents use for a setting."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias or f"BBWS_{field.upper()}")


def shown(field: str) -> str:
    """A setting's default as the table shows it."""
    value = Settings.model_fields[field].default
    match value:
        case None | "" | ():
            return "none"
        case SecretStr():
            return "a public one"
        case tuple():
            return f"`{','.join(value)}`" if len(value) < 3 else f"{len(value)} entries, see there"
    return f"`{value}`"
