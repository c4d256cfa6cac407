import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from bbws.shared.contracts.documents import DOCUMENTS
from bbws.shared.templating import (
    PackagedTemplates,
    S3Templates,
    Source,
    TemplateError,
    Templates,
    packaged_documents,
    templates_dir,
)
from tests.support.builders import an_order
from tests.support.emulator import Aws


class Texts:
    """Templates from a dict; a version is the text's own digest."""

    def __init__(self, **texts: str) -> None:
        self.texts = {f"{stem}.html": text for stem, text in texts.items()}

    async def load(self, name: str, version: str | None = None) -> Source:
        text = self.texts[name]
        return Source(text, hashlib.sha256(text.encode()).hexdigest())


async def rendered(text: str, **context: object) -> str:
    return await Templates(Texts(page=text)).render("page.html", context)


async def test_values_are_escaped_and_never_evaluated() -> None:
    """A customer's name is text: it is neither HTML nor a template."""
    html = await rendered("{{ name }}", name="<script>alert(1)</script> {{ 7*7 }}")
    assert html == "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7*7 }}"


async def test_a_name_cannot_turn_the_text_around_it() -> None:
    """An override character in a name would print the amount after it backwards."""
    assert await rendered("{{ name }} paid R 12", name="\u202eThandi\u2066") == "Thandi paid R 12"


async def test_an_error_names_template_line_and_variable() -> None:
    """Whoever edited a template in the bucket must find the mistake from the dead letter alone."""
    store = Texts(
        page="{% extends 'base.html' %}\n{% block a %}\n{{ order.colour }}{% endblock %}",
        base="{% block a %}{% endblock %}",
    )
    with pytest.raises(TemplateError, match=r"page\.html.*line 3.*'colour'"):
        await Templates(store).render("page.html", {"order": an_order()})
    with pytest.raises(TemplateError, match=r"page\.html: page\.html, line 1: 'nobody' is undefined"):
        await rendered("{{ nobody }}")
    with pytest.raises(TemplateError, match=r"page\.html: line 2: .*endif"):
        await rendered("{% if x %}\n{% endfor %}", x=1)


@pytest.mark.parametrize(
    "escape",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ order.__init__.__globals__ }}",
        "{{ order.model_dump_json() }}",
        "{{ order.model_copy(update={'total_cents': 1}) }}",
        "{{ order.__dict__ }}",
        "{{ order['__class__'] }}",
        "{{ order | attr('__class__') }}",
        "{{ order | attr('model_dump')() }}",
        "{{ '{0.__class__}'.format(order) }}",
        "{{ rows.append(1) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ range(10) }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{% include '/etc/passwd' %}",
        "{% include '../pyproject.toml' %}",
        "{% include name %}",
        "{% import name as x %}",
    ],
)
async def test_a_template_reaches_no_files_and_no_internals(escape: str) -> None:
    """Templates lie in a bucket that designers write to; that must not be the right to run code here."""

    class Store(Texts):
        async def load(self, name: str, version: str | None = None) -> Source:
            return await (super().load(name) if name in self.texts else PackagedTemplates().load(name))

    with pytest.raises(TemplateError):
        await Templates(Store(page=escape)).render("page.html", {"order": an_order(), "rows": [], "name": "page.html"})


async def test_days_moments_and_amounts_are_south_african() -> None:
    """An order placed at 23:30 UTC belongs to the next day in Johannesburg, and money has one form everywhere."""
    late = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    html = await rendered(
        "{{ a|day }}; {{ b|day }}; {{ a|moment }}; {{ c|money }}", a=late, b=date(2026, 1, 2), c=123450
    )
    assert html == "21 November 2026; 2 January 2026; 21 November 2026, 01:30 SAST; R\xa01\xa0234.50"


async def test_subject_and_text_are_plain_and_html_is_escaped() -> None:
    """A plain text part with `&amp;` in it looks broken, HTML without it is an injection."""
    store = Texts(
        base="<title>{% block subject %}{% endblock %}</title>{% block body %}{% endblock %}",
        mail="{% extends 'base.html' %}{% block body %}<p>{{ name }}</p>{% endblock %}"
        "{% block text %}Dear {% block who %}{% endblock %}{% endblock %}",
        page="{% extends 'mail.html' %}{% set who = name %}{% block subject %}From\n {{ who }}{% endblock %}"
        "{% block who %}{{ who }}{% endblock %}",
    )
    mail = await Templates(store).render_mail("page.html", {"name": "A & <B>"})
    assert mail.subject == "From A & <B>"
    assert mail.text == "Dear A & <B>\n"
    assert mail.html == "<title>From\n A &amp; &lt;B&gt;</title><p>A &amp; &lt;B&gt;</p>"


async def test_a_mail_without_subject_is_refused() -> None:
    """A mail without subject ends in the spam folder; the author of the template must hear of it."""
    with pytest.raises(TemplateError, match="subject and text"):
        await Templates(Texts(page="{% block text %}Hello{% endblock %}")).render_mail("page.html", {})


async def test_pinning_covers_everything_a_template_is_made_of() -> None:
    """An invoice must not change because a partial of it did."""
    store = Texts(
        page="{% extends 'base.html' %}{% from 'macros.html' import x %}",
        base="{% include 'part.html' %}",
        macros="{% macro x() %}{% endmacro %}",
        part="old",
        other="",
    )
    assert set(await Templates(store).pin("page.html")) == {"page.html", "base.html", "macros.html", "part.html"}


async def test_a_document_is_rendered_from_its_own_context_only() -> None:
    """The context type is the contract between a service and a template."""
    with pytest.raises(TypeError, match="InvoiceDocument"):
        await Templates(PackagedTemplates()).render("invoices/invoice.html", {"invoice": 1})


async def test_an_edited_template_is_compiled_again() -> None:
    """What is kept compiled is one set of versions, not a name."""
    store = Texts(page="{% include 'part.html' %}", part="old")
    templates = Templates(store)
    assert await templates.render("page.html", {}) == "old"
    store.texts["part.html"] = "new"
    assert await templates.render("page.html", {}) == "new"


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


@pytest.fixture
def now() -> SimpleNamespace:
    return SimpleNamespace(s=1000.0)


@pytest_asyncio.fixture
async def bucket(aws: Aws) -> AsyncIterator[Any]:
    async with aws.client("s3") as s3:
        name = aws.unique("templates")
        await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})
        await s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

        async def put(key: str, text: str) -> None:
            await s3.put_object(Bucket=name, Key=key, Body=text.encode())

        yield SimpleNamespace(s3=s3, name=name, put=put)


@pytest.mark.needs("s3", "calls")
async def test_an_unchanged_template_is_asked_for_once_per_interval(aws: Aws, bucket: Any, now: Any) -> None:
    """Thousands of mails must not mean thousands of reads, and an edit must still show within the interval."""
    store = S3Templates(bucket.s3, bucket.name, revalidate_s=30, monotonic=lambda: float(now.s))
    templates = Templates(store)
    await bucket.put("page.html", "one")
    first = await store.load("page.html")
    assert [await templates.render("page.html", {}) for _ in range(5)] == ["one"] * 5
    assert await aws.calls("s3", "GET object") == 1

    now.s += 31
    assert await store.load("page.html") is first, "an unchanged template was sent again"
    await bucket.put("page.html", "two")
    assert await templates.render("page.html", {}) == "one"
    assert await aws.calls("s3", "GET object") == 2

    now.s += 31
    assert await templates.render("page.html", {}) == "two"
    assert await aws.calls("s3", "GET object") == 3


@pytest.mark.needs("s3", "calls")
async def test_a_pinned_version_outlives_a_later_upload(aws: Aws, bucket: Any) -> None:
    """An invoice rendered again after a redesign looks as it did when it was issued, even in a new process."""
    await bucket.put("page.html", "{% include 'part.html' %}!")
    await bucket.put("part.html", "old")
    pinned = await Templates(S3Templates(bucket.s3, bucket.name, revalidate_s=0)).pin("page.html")
    await bucket.put("part.html", "new")

    before = await aws.calls("s3", "GET object")
    templates = Templates(S3Templates(bucket.s3, bucket.name, revalidate_s=0))
    assert [await templates.render("page.html", {}, pinned) for _ in range(3)] == ["old!"] * 3
    assert await aws.calls("s3", "GET object") == before + 2
    assert await templates.render("page.html", {}) == "new!"


@pytest.mark.needs("s3")
async def test_a_missing_template_says_what_to_do(bucket: Any) -> None:
    """A bucket that nobody filled is the likeliest mistake of a first deployment."""
    templates = Templates(S3Templates(bucket.s3, bucket.name, revalidate_s=0))
    with pytest.raises(TemplateError, match=r"bbws provision"):
        await templates.render("page.html", {})


@pytest.mark.needs("s3")
async def test_a_bucket_without_versions_is_refused(aws: Aws) -> None:
    """Without versions an invoice could not be rendered the same again; better to hear it before the first one."""
    async with aws.client("s3") as s3:
        name = aws.unique("unversioned")
        await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})
        await s3.put_object(Bucket=name, Key="page.html", Body=b"x")
        with pytest.raises(TemplateError, match="not versioned"):
            await S3Templates(s3, name, revalidate_s=0).load("page.html")
