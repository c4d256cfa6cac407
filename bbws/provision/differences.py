"""What differs between attributes as they stand and as they are declared."""

from collections.abc import Mapping
from typing import Any

import orjson


def attribute_differences(what: str, standing: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """A line for each that is wanted and is not so; what stands besides does not matter."""
    return [
        f"{what}: {name} is {standing.get(name)}, declared {value}"
        for name, value in wanted.items()
        if _parsed(standing.get(name)) != _parsed(value)
    ]


def _parsed(value: str | None) -> Any:
    """Policies are JSON that AWS may write with other spaces and order."""
    try:
        return orjson.loads(value or "null")
    except orjson.JSONDecodeError:
        return value
