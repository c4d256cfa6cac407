"""Documents and mails from the texts of a store."""

import pytest

from bbws.shared.templating import PackagedTemplates, TemplateError, Templates
from tests.shared.templating.support import Texts, rendered
from tests.support.builders import an_order


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
