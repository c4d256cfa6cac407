"""The templates of the installed package."""

import hashlib
from pathlib import Path

from bbws.shared.contracts.documents import DOCUMENTS
from bbws.shared.templating.sandbox import outline
from bbws.shared.templating.sources import Source, TemplateError

_PACKAGE = Path(__file__).resolve().parents[2]


class PackagedTemplates:
    """The packaged texts; a version is the SHA-256 of the text, and only today's exists."""

    async def load(self, name: str, version: str | None = None) -> Source:
        text = _packaged_text(name)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if version not in (None, digest):
            raise TemplateError(name, f"the package holds version {digest}, not {version}")
        return Source(text, digest)


def packaged_documents() -> dict[str, bytes]:
    """What belongs in the template bucket: the documents and all that they extend, include or import."""
    documents: dict[str, bytes] = {}
    waiting = list(DOCUMENTS)
    while waiting:
        name = waiting.pop()
        if name not in documents:
            text = _packaged_text(name)
            documents[name] = text.encode()
            waiting += outline(name, text).references
    return dict(sorted(documents.items()))


def templates_dir() -> Path:
    """Where the packaged templates are: in the wheel `bbws/_templates`, in a checkout `templates`."""
    installed = _PACKAGE / "_templates"
    return installed if installed.is_dir() else _PACKAGE.parent / "templates"


def _packaged_text(name: str) -> str:
    root = templates_dir().resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise TemplateError(name, "not among the packaged templates")
    return path.read_text(encoding="utf-8")
