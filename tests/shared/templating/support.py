"""Templates that a test writes down itself."""

import hashlib

from bbws.shared.templating import Source, Templates


class Texts:
    """Templates from a dict; a version is the text's own digest."""

    def __init__(self, **texts: str) -> None:
        self.texts = {f"{stem}.html": text for stem, text in texts.items()}

    async def load(self, name: str, version: str | None = None) -> Source:
        text = self.texts[name]
        return Source(text, hashlib.sha256(text.encode()).hexdigest())


async def rendered(text: str, **context: object) -> str:
    return await Templates(Texts(page=text)).render("page.html", context)
