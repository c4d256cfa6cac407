"""Between contracts and stored items: an item is the contract's JSON plus its keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypedDict, TypeVar

from pydantic import BaseModel, ValidationError

from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Place
from bbws.shared.errors import BbwsError

# The key of the sparse indexes of what is active (C-08): DynamoDB takes no booleans as keys.
ACTIVE = "ACTIVE"


class BrokenItem(BbwsError):
    title = "Broken item"


ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Sought(Generic[ModelT]):
    """An item that is read together with others, and what it is."""

    kind: type[ModelT]
    place: Place

    def among(self, found: Mapping[Place, Item]) -> ModelT | None:
        item = found.get(self.place)
        return model_of(self.kind, item) if item else None


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


@cache
def _names_of(kind: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.serialization_alias or field.alias or name for name, field in kind.model_fields.items())


def model_of(kind: type[ModelT], item: Item) -> ModelT:
    """Raises BrokenItem where what is stored is not what the contract says: our own fault, or a foreign hand's."""
    names = _names_of(kind)
    try:
        return kind.model_validate({name: value for name, value in item.items() if name in names})
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, entry["loc"])) for entry in error.errors(include_input=False))
        raise BrokenItem(f"{item['PK']} | {item['SK']} is no {kind.__name__}: {fields}") from None
