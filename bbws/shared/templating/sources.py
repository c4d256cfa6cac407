"""Where templates come from: a store gives their texts, by name and version."""

from dataclasses import dataclass
from typing import Protocol

from bbws.shared.errors import BbwsError


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


class TemplateStore(Protocol):
    async def load(self, name: str, version: str | None = None) -> Source:
        """The newest text, or that of one version. Raises TemplateError when there is none."""
