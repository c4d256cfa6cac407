"""Every document and every page, rendered by jinja2 in a sandbox.

A template sees the fields of its context and three filters, nothing else: no files, no network, no globals, no
methods of our models, no underscore names. Values are escaped; a name that the context lacks is an error.
"""

import asyncio
import hashlib
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import jinja2
from botocore.exceptions import ClientError
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel

from bbws.shared.aws_errors import reaching
from bbws.shared.clock import BUSINESS_ZONE, business_date
from bbws.shared.contracts.documents import DOCUMENTS
from bbws.shared.contracts.money import Money
from bbws.shared.errors import BbwsError

# Sets of templates kept compiled: all of today's, and the pinned ones that a burst of redelivered invoices needs.
MAX_COMPILED = 64
# A customer called "\u202e…" would turn round the amount that follows the name. Embeddings, overrides, isolates.
_BIDI_CONTROLS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
_PACKAGE = Path(__file__).resolve().parent.parent


class TemplateError(BbwsError):
    """A template is missing or wrong: nothing a customer did, and no repeat will mend it."""

    title = "Template error"

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"template {name}: {detail}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Source:
    """A template's text and the version under which its store gives the same text again."""

    text: str
    version: str


@dataclass(frozen=True, slots=True)
class MailText:
    subject: str
    html: str
    text: str


class TemplateStore(Protocol):
    async def load(self, name: str, version: str | None = None) -> Source:
        """The newest text, or that of one version. Raises TemplateError when there is none."""


def templates_dir() -> Path:
    """Where the packaged templates are: in the wheel `bbws/_templates`, in a checkout `templates`."""
    installed = _PACKAGE / "_templates"
    return installed if installed.is_dir() else _PACKAGE.parent / "templates"


def packaged_documents() -> dict[str, bytes]:
    """What belongs in the template bucket: the documents and all that they extend, include or import."""
    documents: dict[str, bytes] = {}
    waiting = list(DOCUMENTS)
    while waiting:
        name = waiting.pop()
        if name not in documents:
            text = _packaged_text(name)
            documents[name] = text.encode()
            waiting += _references(name, text)
    return dict(sorted(documents.items()))


def _packaged_text(name: str) -> str:
    root = templates_dir().resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise TemplateError(name, "not among the packaged templates")
    return path.read_text(encoding="utf-8")


class PackagedTemplates:
    """The templates of the installed package; a version is the SHA-256 of the text, and only today's exists."""

    async def load(self, name: str, version: str | None = None) -> Source:
        text = _packaged_text(name)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if version not in (None, digest):
            raise TemplateError(name, f"the package holds version {digest}, not {version}")
        return Source(text, digest)


@dataclass(slots=True)
class _Newest:
    source: Source
    etag: str
    asked_at: float


class S3Templates:
    """The templates of a versioned bucket.

    The newest text is asked for again after `revalidate_s` seconds (If-None-Match: an unchanged one is not sent
    again); a given version cannot change and is read once. Raises Unavailable while S3 is out of reach.
    """

    def __init__(
        self, client: Any, bucket: str, *, revalidate_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._revalidate_s = revalidate_s
        self._monotonic = monotonic
        self._newest: dict[str, _Newest] = {}
        self._pinned: dict[tuple[str, str], Source] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def load(self, name: str, version: str | None = None) -> Source:
        # One question at a time for each name: ten workers that start together need one answer.
        async with self._locks.setdefault(name, asyncio.Lock()):
            return await (self._load_newest(name) if version is None else self._load_pinned(name, version))

    async def _load_pinned(self, name: str, version: str) -> Source:
        if (name, version) not in self._pinned:
            self._pinned[name, version], _ = await self._get(name, VersionId=version)
        return self._pinned[name, version]

    async def _load_newest(self, name: str) -> Source:
        known = self._newest.get(name)
        now = self._monotonic()
        if known and now - known.asked_at < self._revalidate_s:
            return known.source
        try:
            source, etag = await self._get(name, **({"IfNoneMatch": known.etag} if known else {}))
        except _NotModified:
            assert known is not None
            known.asked_at = now
            return known.source
        self._pinned[name, source.version] = source
        self._newest[name] = _Newest(source, etag, now)
        return source

    async def _get(self, name: str, **conditions: str) -> tuple[Source, str]:
        try:
            with reaching("s3"):
                answer = await self._client.get_object(Bucket=self._bucket, Key=name, **conditions)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_MODIFIED:
                raise _NotModified from error
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion"):
                raise self._missing(name, conditions.get("VersionId")) from error
            raise
        async with answer["Body"] as body:
            text = (await body.read()).decode()
        version = answer.get("VersionId")
        if version in (None, "null"):
            raise TemplateError(name, f"bucket {self._bucket} is not versioned, so no invoice can pin its template")
        return Source(text, version), answer["ETag"]

    def _missing(self, name: str, version: str | None) -> TemplateError:
        wanted = f"version {version}" if version else "it"
        return TemplateError(name, f"bucket {self._bucket} does not hold {wanted}; `bbws provision` uploads it")


class _NotModified(Exception):
    pass


class _Sandbox(ImmutableSandboxedEnvironment):
    """Of our models a template sees the fields only: `order.model_copy` would be a way to change what is shown."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, BaseModel):
            return attr in type(obj).model_fields
        return super().is_safe_attribute(obj, attr, value)


def _sandbox(*, autoescape: bool) -> _Sandbox:
    sandbox = _Sandbox(
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
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


_HTML = _sandbox(autoescape=True)
_TEXT = _sandbox(autoescape=False)


class Templates:
    """Renders what `store` holds; compiled templates are kept for each set of versions."""

    def __init__(self, store: TemplateStore) -> None:
        self._store = store
        self._references: dict[tuple[str, str], tuple[str, ...]] = {}
        self._compiled: OrderedDict[tuple[object, ...], jinja2.Template] = OrderedDict()

    async def pin(self, name: str) -> dict[str, str]:
        """The version of the template and of all it is made of; `render` with it gives the same output for ever."""
        return {part: source.version for part, source in (await self._closure(name, None)).items()}

    async def render(
        self, name: str, context: BaseModel | Mapping[str, object], versions: Mapping[str, str] | None = None
    ) -> str:
        """The HTML. Raises TemplateError, which names template, line and variable."""
        return self._rendered(_HTML, name, context, await self._closure(name, versions))

    async def render_mail(self, name: str, context: BaseModel | Mapping[str, object]) -> MailText:
        """Subject (one line) and plain text come from the template's blocks of these names, unescaped."""
        closure = await self._closure(name, None)
        subject = " ".join(self._block(name, "subject", context, closure).split())
        text = self._block(name, "text", context, closure).strip() + "\n"
        if not subject or text.isspace():
            raise TemplateError(name, "a mail needs the blocks subject and text")
        return MailText(subject=subject, html=self._rendered(_HTML, name, context, closure), text=text)

    def _block(
        self, name: str, block: str, context: BaseModel | Mapping[str, object], closure: Mapping[str, Source]
    ) -> str:
        # The block alone is what the same family of templates makes of a root with nothing else in it.
        root = _root(name, closure)
        bare = Source(f"{{% block {block} %}}{{% endblock %}}", f"{block} of {closure[root].version}")
        return self._rendered(_TEXT, name, context, {**closure, root: bare})

    def _rendered(
        self,
        sandbox: _Sandbox,
        name: str,
        context: BaseModel | Mapping[str, object],
        closure: Mapping[str, Source],
    ) -> str:
        _check_context(name, context)
        try:
            return self._template(sandbox, name, closure).render(dict(context))
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateError(name, _told(error, closure)) from error

    def _template(self, sandbox: _Sandbox, name: str, closure: Mapping[str, Source]) -> jinja2.Template:
        key = (sandbox.autoescape, name, *sorted((part, source.version) for part, source in closure.items()))
        if key not in self._compiled:
            self._compiled[key] = sandbox.overlay(loader=_loader(closure)).get_template(name)
        self._compiled.move_to_end(key)
        if len(self._compiled) > MAX_COMPILED:
            self._compiled.popitem(last=False)
        return self._compiled[key]

    async def _closure(self, name: str, versions: Mapping[str, str] | None) -> dict[str, Source]:
        closure: dict[str, Source] = {}
        waiting = [name]
        while waiting:
            part = waiting.pop()
            if part not in closure:
                closure[part] = await self._load(part, versions)
                waiting += self._references_of(part, closure[part])
        return closure

    async def _load(self, name: str, versions: Mapping[str, str] | None) -> Source:
        if versions is None:
            return await self._store.load(name)
        if name not in versions:
            raise TemplateError(name, "no version of it was pinned")
        return await self._store.load(name, versions[name])

    def _references_of(self, name: str, source: Source) -> tuple[str, ...]:
        key = (name, source.version)
        if key not in self._references:
            self._references[key] = _references(name, source.text)
        return self._references[key]


def _check_context(name: str, context: BaseModel | Mapping[str, object]) -> None:
    wanted = DOCUMENTS.get(name)
    if wanted and not isinstance(context, wanted):
        raise TypeError(f"{name} is rendered from {wanted.__name__}, not from {type(context).__name__}")


def _loader(closure: Mapping[str, Source]) -> jinja2.FunctionLoader:
    def load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
        # With the name as file name a traceback shows the template's own lines.
        return (closure[name].text, name, lambda: True) if name in closure else None

    return jinja2.FunctionLoader(load)


def _parsed(name: str, text: str) -> nodes.Template:
    try:
        return _HTML.parse(text, name)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(name, f"line {error.lineno}: {error.message}") from error


def _references(name: str, text: str) -> tuple[str, ...]:
    found = tuple(meta.find_referenced_templates(_parsed(name, text)))
    if None in found:
        raise TemplateError(name, "extends, include and import take a fixed name, so that it can be pinned")
    return tuple(part for part in found if part is not None)


def _root(name: str, closure: Mapping[str, Source]) -> str:
    while True:
        extended = _parsed(name, closure[name].text).find(nodes.Extends)
        if extended is None:
            return name
        name = extended.template.as_const()


def _told(error: Exception, closure: Mapping[str, Source]) -> str:
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in closure]
    where = f"{lines[-1].filename}, line {lines[-1].lineno}: " if lines else ""
    return f"{where}{error}"
