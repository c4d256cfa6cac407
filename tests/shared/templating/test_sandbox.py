"""What a template can do, and what it cannot."""

from datetime import UTC, date, datetime

import pytest

from bbws.shared.templating import PackagedTemplates, Source, TemplateError, Templates, sandbox
from bbws.shared.templating.sandbox import Sandbox
from tests.shared.templating.support import Texts, rendered
from tests.support.builders import an_order


async def test_values_are_escaped_and_never_evaluated() -> None:
    """A customer's name is text: it is neither HTML nor a template."""
    html = await rendered("{{ name }}", name="<script>alert(1)</script> {{ 7*7 }}")
    assert html == "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7*7 }}"


async def test_a_name_cannot_turn_the_text_around_it() -> None:
    """An override character in a name would print the amount after it backwards."""
    assert await rendered("{{ name }} paid R 12", name="\u202eThandi\u2066") == "Thandi paid R 12"


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


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of each template that is compiled from now on."""
    names: list[str] = []
    compile_text = Sandbox.compile

    def note(self: Sandbox, source: str, name: str, *more: object) -> object:
        names.append(name)
        return compile_text(self, source, name, *more)  # type: ignore[call-overload]

    monkeypatch.setattr(Sandbox, "compile", note)
    return names


async def test_a_text_is_compiled_once_in_a_process(compiled: list[str]) -> None:
    """A layout under ten documents, the same upload under another version: compiling takes longer than rendering."""
    store = Texts(one="{% extends 'base.html' %}", two="{% extends 'base.html' %}", base="a layout of this test")
    for templates in (Templates(store), Templates(store)):
        for name in ("one.html", "two.html"):
            assert await templates.render(name, {}) == "a layout of this test"
    assert sorted(compiled) == ["base.html", "one.html", "two.html"]


async def test_what_is_kept_compiled_is_bounded(compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that renders for months must not hold every text that a designer ever tried."""
    monkeypatch.setattr(sandbox.HTML, "bytecode_cache", sandbox._CompiledTexts())
    monkeypatch.setattr(sandbox, "MAX_KEPT_TEXTS", 2)
    for text in ("first", "second", "first", "third", "first", "second"):
        assert await rendered(text) == text
    assert len(compiled) == 4, "not the one that was used longest ago was forgotten"
