"""The templates of the package."""

import pytest

from bbws.shared.contracts.documents import DOCUMENTS
from bbws.shared.templating import PackagedTemplates, TemplateError, packaged_documents, templates_dir


def test_the_bucket_gets_the_twelve_and_what_they_extend() -> None:
    """A document whose layout is missing in the bucket cannot be rendered at all."""
    documents = packaged_documents()
    assert set(DOCUMENTS) < set(documents)
    assert {"layout.html", "mail.html", "paper.html"} < set(documents)
    assert all((templates_dir() / name).read_bytes() == text for name, text in documents.items())


async def test_the_package_holds_one_version_of_a_template() -> None:
    """A pin of a version that the package no longer has is an error, not silently today's text."""
    store = PackagedTemplates()
    source = await store.load("layout.html")
    assert await store.load("layout.html", source.version) == source
    with pytest.raises(TemplateError, match="holds version"):
        await store.load("layout.html", "0" * 64)
