"""Plain JSON values to DynamoDB's typed attributes and back. Floats are refused: money and rates are never binary."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Item = dict[str, Any]


def encode(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case Mapping():
            return {"M": encode_item(value)}
        case list() | tuple():
            return {"L": [encode(entry) for entry in value]}
    raise TypeError(f"DynamoDB takes no {type(value).__name__}: {value!r}")


def encode_item(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: encode(value) for name, value in item.items()}


def decode(attribute: Mapping[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    # The commonest first: an item has dozens of them.
    if kind == "S":
        return value
    if kind == "N":
        return _number(value)
    if kind == "M":
        return decode_item(value)
    if kind == "L":
        return [decode(entry) for entry in value]
    if kind in ("BOOL", "B"):
        return value
    if kind == "NULL":
        return None
    raise TypeError(f"BBWS stores no attribute of type {kind}")


def _number(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def decode_item(item: Mapping[str, Any]) -> Item:
    return {name: decode(attribute) for name, attribute in item.items()}
