"""Between contracts and stored items: an item is the contract's JSON plus its keys."""

from collections.abc import Mapping
from typing import Any, TypedDict, TypeVar

from pydantic import BaseModel, ValidationError

from bbws.shared.dynamo.codec import Item
from bbws.shared.errors import BbwsError

# The key of the sparse indexes of what is active (C-08): DynamoDB takes no booleans as keys.
ACTIVE = "ACTIVE"


class BrokenItem(BbwsError):
    title = "Broken item"


ModelT = TypeVar("ModelT", bound=BaseModel)


class Condition(TypedDict):
    condition: str
    names: Mapping[str, str]
    values: Mapping[str, Any]


def at_version(version: int) -> Condition:
    """For a write over the version that was read, and over no other."""
    return {"condition": "#version = :before", "names": {"#version": "version"}, "values": {":before": version}}


def item_of(model: BaseModel, key: tuple[str, str], **attributes: Any) -> Item:
    """Index attributes come as keywords; None leaves one out, so that a sparse index does not hold the item."""
    extra = {name: value for name, value in attributes.items() if value is not None}
    return {"PK": key[0], "SK": key[1], **model.model_dump(mode="json", exclude_none=True), **extra}


def model_of(kind: type[ModelT], item: Item) -> ModelT:
    """Raises BrokenItem where what is stored is not what the contract says: our own fault, or a foreign hand's."""
    names = {field.serialization_alias or field.alias or name for name, field in kind.model_fields.items()}
    try:
        return kind.model_validate({name: value for name, value in item.items() if name in names})
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, entry["loc"])) for entry in error.errors(include_input=False))
        raise BrokenItem(f"{item['PK']} | {item['SK']} is no {kind.__name__}: {fields}") from None
