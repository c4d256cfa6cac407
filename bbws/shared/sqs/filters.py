"""Filter policies of SNS subscriptions, as the test broker applies them.

Exact values, prefix, suffix, anything-but (values, prefix, suffix), exists, numeric, equals-ignore-case and `$or`;
nested keys in the body. An operator beyond these raises, rather than let a test pass on a guess.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from operator import eq, ge, gt, le, lt
from typing import Any

from .schemas import TopicLink
from .wire import Attribute

_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}


def lets_pass(link: TopicLink, body: str, attributes: Mapping[str, Attribute]) -> bool:
    """Whether the subscription delivers this message."""
    if not link.filter_policy:
        return True
    if link.filter_scope == "MessageAttributes":
        return _matches(link.filter_policy, {name: _values(attribute) for name, attribute in attributes.items()})
    try:
        content = json.loads(body)
    except ValueError:
        return False
    return isinstance(content, dict) and _matches(link.filter_policy, content)


def _values(attribute: Attribute) -> Any:
    text = attribute.get("StringValue", "")
    if attribute["DataType"] == "Number":
        return float(text)
    return json.loads(text) if attribute["DataType"] == "String.Array" else text


def _matches(policy: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    return all(_key_matches(key, wanted, content) for key, wanted in policy.items())


def _key_matches(key: str, wanted: Any, content: Mapping[str, Any]) -> bool:
    if key == "$or":
        return any(_matches(policy, content) for policy in wanted)
    if isinstance(wanted, Mapping):
        inner = content.get(key)
        return _matches(wanted, inner if isinstance(inner, Mapping) else {})
    given = _listed(content[key]) if key in content else None
    return any(_accepts(rule, given) for rule in wanted)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _accepts(rule: Any, given: Sequence[Any] | None) -> bool:
    """`given` is None where the key is missing: only `exists: false` accepts that."""
    if not isinstance(rule, Mapping):
        return any(_same(rule, value) for value in given or ())
    if "exists" in rule:
        return (given is not None) is rule["exists"]
    return any(_operator_accepts(rule, value) for value in given or ())


def _operator_accepts(rule: Mapping[str, Any], value: Any) -> bool:
    [(operator, operand)] = rule.items()
    if operator == "anything-but":
        return not _forbidden(operand, value)
    if operator == "numeric":
        return _is_number(value) and all(
            _NUMERIC[sign](value, bound) for sign, bound in zip(operand[::2], operand[1::2], strict=True)
        )
    if operator in _TEXT:
        return isinstance(value, str) and _TEXT[operator](value, operand)
    raise NotImplementedError(f"the test broker does not know the filter operator {operator!r}")


_TEXT: dict[str, Callable[[str, str], bool]] = {
    "prefix": str.startswith,
    "suffix": str.endswith,
    "equals-ignore-case": lambda value, operand: value.lower() == operand.lower(),
}


def _forbidden(operand: Any, value: Any) -> bool:
    if isinstance(operand, Mapping):
        return _operator_accepts(operand, value)
    return any(_same(one, value) for one in _listed(operand))


def _same(wanted: Any, value: Any) -> bool:
    # True == 1 in Python, not in JSON.
    return bool(wanted == value) and isinstance(wanted, bool) == isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
