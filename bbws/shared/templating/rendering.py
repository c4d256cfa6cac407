"""Renders documents and mails from what a store holds."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass

import jinja2
from pydantic import BaseModel

from bbws.shared.contracts.documents import DOCUMENTS
from bbws.shared.templating.sandbox import HTML, TEXT, Sandbox, outline, template
from bbws.shared.templating.sources import Source, TemplateError, TemplateStore


@dataclass(frozen=True, slots=True)
class MailText:
    subject: str
    html: str
    text: str


class Templates:
    """What `store` holds, rendered."""

    def __init__(self, store: TemplateStore) -> None:
        self._store = store

    async def pin(self, name: str) -> dict[str, str]:
        """The version of the template and of all it is made of; `render` with it gives the same output for ever."""
        return {part: source.version for part, source in (await self._closure(name, None)).items()}

    async def render(
        self, name: str, context: BaseModel | Mapping[str, object], versions: Mapping[str, str] | None = None
    ) -> str:
        """The HTML. Raises TemplateError, which names template, line and variable."""
        return self._rendered(HTML, name, context, await self._closure(name, versions))

    async def render_mail(self, name: str, context: BaseModel | Mapping[str, object]) -> MailText:
        """Subject (one line) and plain text come from the template's blocks of these names, unescaped."""
        closure = await self._closure(name, None)
        subject = " ".join(self._block(name, "subject", context, closure).split())
        text = self._block(name, "text", context, closure).strip() + "\n"
        if not subject or text.isspace():
            raise TemplateError(name, "a mail needs the blocks subject and text")
        return MailText(subject=subject, html=self._rendered(HTML, name, context, closure), text=text)

    def _block(
        self, name: str, block: str, context: BaseModel | Mapping[str, object], closure: Mapping[str, Source]
    ) -> str:
        # The block alone is what the same family of templates makes of a root with nothing else in it.
        root = _root(name, closure)
        bare = Source(f"{{% block {block} %}}{{% endblock %}}", closure[root].version)
        return self._rendered(TEXT, name, context, {**closure, root: bare})

    def _rendered(
        self,
        sandbox: Sandbox,
        name: str,
        context: BaseModel | Mapping[str, object],
        closure: Mapping[str, Source],
    ) -> str:
        _check_context(name, context)
        try:
            return template(sandbox, name, closure).render(dict(context))
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateError(name, _where_it_failed(error, closure)) from error

    async def _closure(self, name: str, versions: Mapping[str, str] | None) -> dict[str, Source]:
        closure: dict[str, Source] = {}
        waiting = [name]
        while waiting:
            part = waiting.pop()
            if part not in closure:
                closure[part] = await self._load(part, versions)
                waiting += outline(part, closure[part].text).references
        return closure

    async def _load(self, name: str, versions: Mapping[str, str] | None) -> Source:
        if versions is None:
            return await self._store.load(name)
        if name not in versions:
            raise TemplateError(name, "no version of it was pinned")
        return await self._store.load(name, versions[name])


def _check_context(name: str, context: BaseModel | Mapping[str, object]) -> None:
    wanted = DOCUMENTS.get(name)
    if wanted and not isinstance(context, wanted):
        raise TypeError(f"{name} is rendered from {wanted.__name__}, not from {type(context).__name__}")


def _root(name: str, closure: Mapping[str, Source]) -> str:
    """What `name` extends in the end; itself where it extends nothing."""
    while parent := outline(name, closure[name].text).extends:
        name = parent
    return name


def _where_it_failed(error: Exception, closure: Mapping[str, Source]) -> str:
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in closure]
    where = f"{lines[-1].filename}, line {lines[-1].lineno}: " if lines else ""
    return f"{where}{error}"
