"""The compose file as a container engine reads it: anchors merged, variables at their defaults."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose.yaml"
_DEFAULT = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


def services() -> dict[str, dict[str, Any]]:
    document = yaml.safe_load(_DEFAULT.sub(r"\1", COMPOSE.read_text()))
    found: dict[str, dict[str, Any]] = document["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """The services that run our image."""
    return {name: service for name, service in services().items() if service["image"] == "bbws:local"}
