"""The sandbox that templates run in, and what is known of a template's text.

A template sees the fields of its context and three filters, nothing else: no files, no network, no globals, no
methods of our models, no underscore names. Values are escaped; a name that the context lacks is an error.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from types import CodeType
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.bccache import Bucket, BytecodeCache
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel

from bbws.shared.clock import BUSINESS_ZONE, business_date
from bbws.shared.contracts.money import Money
from bbws.shared.templating.sources import Source, TemplateError

# Texts whose code is kept: all of today's, and the pinned ones that a burst of redelivered invoices needs.
MAX_KEPT_TEXTS = 256
# A customer called "\u202e…" would turn round the amount that follows the name. Embeddings, overrides, isolates.
_BIDI_CONTROLS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))


class _CompiledTexts(BytecodeCache):
    """The code of templates by their texts: the same text is compiled once in a process, whatever it is called for."""

    def __init__(self) -> None:
        self._codes: OrderedDict[tuple[str, str], CodeType] = OrderedDict()

    def load_bytecode(self, bucket: Bucket) -> None:
        key = (bucket.key, bucket.checksum)
        if code := self._codes.get(key):
            self._codes.move_to_end(key)
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._codes[bucket.key, bucket.checksum] = bucket.code
        if len(self._codes) > MAX_KEPT_TEXTS:
            self._codes.popitem(last=False)


class Sandbox(ImmutableSandboxedEnvironment):
    """Of our models a template sees the fields only: `order.model_copy` would be a way to change what is shown."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, BaseModel):
            return attr in type(obj).model_fields
        return super().is_safe_attribute(obj, attr, value)


def _sandbox(*, autoescape: bool) -> Sandbox:
    sandbox = Sandbox(
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        bytecode_cache=_CompiledTexts(),
        finalize=_without_bidi_controls,
    )
    sandbox.globals.clear()
    sandbox.filters |= {"money": _money, "day": _day, "moment": _moment}
    return sandbox


def _without_bidi_controls(value: object) -> object:
    return value.translate(_BIDI_CONTROLS) if isinstance(value, str) else value


def _money(cents: int) -> str:
    return str(Money(cents))


def _day(value: date) -> str:
    day = business_date(value) if isinstance(value, datetime) else value
    return f"{day.day} {day:%B %Y}"


def _moment(value: datetime) -> str:
    return f"{_day(value)}, {value.astimezone(BUSINESS_ZONE):%H:%M} SAST"


HTML = _sandbox(autoescape=True)
TEXT = _sandbox(autoescape=False)


@dataclass(frozen=True, slots=True)
class Outline:
    """What a template is made of: the one that it extends, and all that it extends, includes or imports."""

    extends: str | None
    references: tuple[str, ...]


@lru_cache(MAX_KEPT_TEXTS)
def outline(name: str, text: str) -> Outline:
    """Raises TemplateError for a text that is no template, or whose parts are not known before it is rendered."""
    parsed = _parsed(name, text)
    references = tuple(meta.find_referenced_templates(parsed))
    if None in references:
        raise TemplateError(name, "extends, include and import take a fixed name, so that it can be pinned")
    extended = parsed.find(nodes.Extends)
    parent = extended.template.as_const() if extended else None
    return Outline(parent, tuple(part for part in references if part is not None))


def _parsed(name: str, text: str) -> nodes.Template:
    try:
        return HTML.parse(text, name)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(name, f"line {error.lineno}: {error.message}") from error


def template(sandbox: Sandbox, name: str, closure: Mapping[str, Source]) -> jinja2.Template:
    """The template and all it is made of, from these texts."""
    return sandbox.overlay(loader=_loader(closure)).get_template(name)


def _loader(closure: Mapping[str, Source]) -> jinja2.FunctionLoader:
    def load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
        # With the name as file name a traceback shows the template's own lines.
        return (closure[name].text, name, lambda: True) if name in closure else None

    return jinja2.FunctionLoader(load)
