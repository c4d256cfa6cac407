"""Says what a changed contract breaks, from its JSON Schema of before and of now."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

Schema = dict[str, Any]

# Limits that only may become wider: (keyword, whether a greater number is wider).
_LIMITS = {
    "minimum": False,
    "exclusiveMinimum": False,
    "minLength": False,
    "minItems": False,
    "maximum": True,
    "exclusiveMaximum": True,
    "maxLength": True,
    "maxItems": True,
}
_FIXED = ("type", "pattern", "format")


def incompatibilities(before: Schema, now: Schema) -> list[str]:
    """A line for each thing that worked before and would not now; an added optional field is none."""
    return list(_Comparison(before.get("$defs", {}), now.get("$defs", {})).compare("", before, now))


@dataclass(frozen=True)
class _Comparison:
    before_definitions: Schema
    now_definitions: Schema

    def compare(self, path: str, before: Schema, now: Schema) -> Iterator[str]:
        before, now = _resolved(before, self.before_definitions), _resolved(now, self.now_definitions)
        if "anyOf" in before or "anyOf" in now:
            yield from self._variants(path, before, now)
            return
        for keyword in _FIXED:
            if before.get(keyword) != now.get(keyword):
                yield f"{path or '/'}: {keyword} was {before.get(keyword)}, is {now.get(keyword)}"
        yield from _narrowed_choices(path, before, now)
        yield from _narrowed_limits(path, before, now)
        yield from self._fields(path, before, now)
        yield from self._entries(path, before, now)

    def _fields(self, path: str, before: Schema, now: Schema) -> Iterator[str]:
        old, new = before.get("properties", {}), now.get("properties", {})
        for name in sorted(old.keys() - new.keys()):
            yield f"{path}/{name}: removed"
        for name in sorted(set(now.get("required", ())) - set(before.get("required", ()))):
            yield f"{path}/{name}: {'became' if name in old else 'added as'} required"
        for name in sorted(old.keys() & new.keys()):
            yield from self.compare(f"{path}/{name}", old[name], new[name])

    def _entries(self, path: str, before: Schema, now: Schema) -> Iterator[str]:
        for keyword in ("items", "additionalProperties"):
            old, new = before.get(keyword, True), now.get(keyword, True)
            if isinstance(old, dict) and isinstance(new, dict):
                yield from self.compare(f"{path}/*", old, new)
            elif old is not False and old != new:
                yield f"{path or '/'}: {keyword} was {old}, is {new}"

    def _variants(self, path: str, before: Schema, now: Schema) -> Iterator[str]:
        old, new = before.get("anyOf", [before]), now.get("anyOf", [now])
        if len(old) != len(new) or not any(self._all_compatible(path, old, order) for order in permutations(new)):
            yield f"{path or '/'}: type was {_named(old)}, is {_named(new)}"

    def _all_compatible(self, path: str, old: list[Schema], new: tuple[Schema, ...]) -> bool:
        return not any(found for a, b in zip(old, new, strict=True) for found in self.compare(path, a, b))


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def _narrowed_choices(path: str, before: Schema, now: Schema) -> Iterator[str]:
    old, new = _choices(before), _choices(now)
    if new is not None and (old is None or old - new):
        yield f"{path or '/'}: no longer takes {sorted(map(str, old - new)) if old else 'everything'}"


def _choices(schema: Schema) -> set[Any] | None:
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None


def _narrowed_limits(path: str, before: Schema, now: Schema) -> Iterator[str]:
    for keyword, greater_is_wider in _LIMITS.items():
        old, new = before.get(keyword), now.get(keyword)
        if new is None or old == new:
            continue
        if old is None or (new < old if greater_is_wider else new > old):
            yield f"{path or '/'}: {keyword} was {old}, is {new}"


def _named(variants: list[Schema]) -> str:
    return " or ".join(str(variant.get("type", variant.get("$ref", variant))) for variant in variants)
