import asyncio
import hashlib
import os
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from pypdf import PdfReader

from bbws.shared.integrations.pdf import PdfError, PdfRenderer
from bbws.shared.integrations.pdf_drawing import NICENESS

CREATED = datetime(2026, 11, 21, 17, 34, tzinfo=UTC)
PAGE = "<html lang=en><body><h1>Invoice</h1><p style='font-family: DejaVu Sans'>R 249.00 für <b>Thandi</b></p>"

# What a page brings along, each in a way that must not reach the page after it.
BRINGS = [
    "<style>p { color: red; font: 30pt Shop } .a { display: none }</style>",
    "<style>@page { size: A6 landscape; @top-left { content: 'Shop' } }</style>",
    "<style>@font-face { font-family: Shop; src: url({font}) }</style>",
    "<link rel=stylesheet href='{sheet}'>",
    "<style>@\\66ont-face { font-family: Shop; src: url({font}) }</style>",
    "<style>@counter-style shop { system: cyclic; symbols: 'S'; suffix: ' ' }</style>",
]
USES = """<html lang=en><style>p { font-family: Shop, DejaVu Sans } li { list-style: shop }</style>
<p class=a style='color: green'>AAA<ul><li>A<li>B</ul>"""

# A process of its own, on another continent, at another time, with sets in another order.
ELSEWHERE = """
import sys, time
real = time.time
time.time = lambda: real() + 400 * 86400 * int(sys.argv[1])
from bbws.shared.integrations import pdf_drawing
pdf_drawing.prepare()
if sys.argv[2] == "fonttools":
    import weasyprint.pdf.fonts
    weasyprint.pdf.fonts.harfbuzz_subset = None
sys.stdout.buffer.write(pdf_drawing.draw(sys.stdin.read(), "INV-000042", "2026-11-21T17:34:00Z"))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pdf() -> AsyncIterator[PdfRenderer]:
    async with PdfRenderer(2) as renderer:
        yield renderer


def workers(renderer: PdfRenderer) -> list[int]:
    assert renderer._pool is not None
    return list(renderer._pool._processes)


def autogroup_niceness(process: int) -> int | None:
    """That of the process's session; None where the kernel weighs no sessions."""
    with suppress(FileNotFoundError):
        return int(Path(f"/proc/{process}/autogroup").read_text().split()[-1])
    return None


async def render(renderer: PdfRenderer, html: str) -> bytes:
    return await renderer.render(html, title="INV-000042", created=CREATED)


def fonts(pdf: bytes) -> set[str]:
    found: set[str] = set()
    page = PdfReader(BytesIO(pdf)).pages[0]
    page.extract_text(visitor_text=lambda _text, _cm, _tm, font, _size: found.add(str((font or {}).get("/BaseFont"))))
    return found


async def rendered_elsewhere(page: str, *, years: int, fonts: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ELSEWHERE, str(years), fonts),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "PYTHONUTF8": "1"},
    )
    pdf, _ = await process.communicate(page.encode())
    assert process.returncode == 0
    return pdf


async def test_the_same_page_gives_the_same_bytes_anywhere_and_any_time(pdf: PdfRenderer) -> None:
    """A redelivered order must find the PDF it would write already there, to the byte."""
    there = await rendered_elsewhere(PAGE, years=1, fonts="harfbuzz")
    here = await asyncio.gather(*(render(pdf, PAGE) for _ in range(6)))
    assert {hashlib.sha256(page).hexdigest() for page in [*here, there]} == {hashlib.sha256(here[0]).hexdigest()}


def a_font() -> str:
    """A font of one letter, a black box, as a `data:` address."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "A"])
    font.setupCharacterMap({ord("A"): "A"})
    font.setupGlyf({name: pen.glyph() for name in (".notdef", "A")})
    font.setupHorizontalMetrics(dict.fromkeys((".notdef", "A"), (1000, 0)))
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": "Shop", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    file = BytesIO()
    font.save(file)
    return _data("font/ttf", file.getvalue())


def _data(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(content).decode()}"


@pytest.mark.process
async def test_a_page_leaves_nothing_behind_for_the_next_one() -> None:
    """Workers share fonts and style sheets between pages: an invoice is the same bytes whatever was drawn before it."""
    font = a_font()
    sheet = _data("text/css", f"@font-face {{ font-family: Shop; src: url({font}) }}".encode())
    brought = [part.replace("{font}", font).replace("{sheet}", sheet) + USES for part in BRINGS]
    alone = await rendered_elsewhere(USES, years=0, fonts="harfbuzz")
    async with PdfRenderer(1) as renderer:
        first = [await render(renderer, page) for page in brought]
        assert await render(renderer, USES) == alone
        again = [await render(renderer, page) for page in reversed(brought)]
        assert await render(renderer, USES) == alone
    assert first == again[::-1]
    with_font = [part for part, page in zip(BRINGS, first, strict=True) if any("Shop" in font for font in fonts(page))]
    assert with_font == BRINGS[2:5], "what a page brings along is used on it"


@pytest.mark.process
async def test_the_bytes_hold_no_time_without_harfbuzz_either() -> None:
    """Where libharfbuzz-subset0 is not installed, fontTools makes the fonts and would write the time into them."""
    now, later = [await rendered_elsewhere(PAGE, years=years, fonts="fonttools") for years in (0, 1)]
    assert now.startswith(b"%PDF-")
    assert now == later


async def test_title_and_date_are_those_given(pdf: PdfRenderer) -> None:
    """Archives sort by these; the moment of rendering means nothing."""
    metadata = PdfReader(BytesIO(await render(pdf, PAGE))).metadata
    assert metadata is not None
    assert metadata.title == "INV-000042"
    assert metadata.creation_date == metadata.modification_date == CREATED


@pytest.mark.parametrize(
    "page",
    [
        "<img src='{url}'>",
        "<link rel=stylesheet href='{url}'>",
        "<link rel=attachment href='{url}'>",
        "<style>@import '{url}';</style>",
        "<style>p {{ background: url({url}) }}</style><p>x</p>",
        "<style>@font-face {{ font-family: f; src: url({url}) }} p {{ font-family: f }}</style><p>x</p>",
        "<object data='{url}'></object>",
        "<base href='{url}'><img src='x.png'>",
    ],
)
@pytest.mark.parametrize("scheme", ["file", "http"])
async def test_a_page_reads_no_file_and_no_address(pdf: PdfRenderer, tmp_path: Path, page: str, scheme: str) -> None:
    """A template must not be a way to /etc or to the metadata service of the machine."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="p { color: red }", content_type="text/css")

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    async with TestServer(app) as server:
        (tmp_path / "secret.css").write_text("p { color: red }")
        url = f"{server.make_url('/')}secret.css" if scheme == "http" else (tmp_path / "secret.css").as_uri()
        with pytest.raises(PdfError, match=f"INV-000042.*{scheme}:"):
            await render(pdf, page.format(url=url))
    assert asked == []


async def test_pictures_inside_the_page_are_shown(pdf: PdfRenderer) -> None:
    """What is refused is loading, not pictures: data: addresses hold their content themselves."""
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>"
    picture = f"<img src='data:image/svg+xml;base64,{b64encode(svg).decode()}'>"
    assert len(await render(pdf, picture)) > len(await render(pdf, "<img>"))


@pytest.mark.process
async def test_a_killed_worker_is_replaced() -> None:
    """The kernel kills the largest process when memory is short; the order at hand must not go to the dead letters."""
    async with PdfRenderer(2) as renderer:
        before = workers(renderer)
        pages = [asyncio.create_task(render(renderer, PAGE + "<p>x" * 300)) for _ in range(4)]
        await asyncio.sleep(0)
        os.kill(before[0], signal.SIGKILL)
        assert len({hashlib.sha256(page).hexdigest() for page in await asyncio.gather(*pages)}) == 1
        assert not set(before) & set(workers(renderer))


@pytest.mark.process
async def test_a_page_that_kills_its_worker_twice_is_an_error_and_the_next_page_works() -> None:
    """One monstrous order must not stop the invoices of all others, nor be tried for ever."""
    async with PdfRenderer(1) as renderer:
        with pytest.raises(PdfError, match="died twice"):
            await renderer._run(os._exit, 9)
        assert (await render(renderer, PAGE)).startswith(b"%PDF-")


async def test_workers_have_a_lower_priority_than_who_waits_for_them(pdf: PdfRenderer) -> None:
    """In a burst the CPU goes to mails and answers first; invoices are drawn from what is left."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    await render(pdf, PAGE)
    priorities = {os.getpriority(os.PRIO_PROCESS, process) for process in workers(pdf)}
    assert priorities == {min(own + NICENESS, 19)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    # Where the kernel weighs sessions first, a worker is one of its own, and that one is light.
    assert all(os.getsid(process) == process for process in workers(pdf))
    assert {autogroup_niceness(process) for process in workers(pdf)} <= {NICENESS, None}


async def test_interrupts_leave_the_workers_alone(pdf: PdfRenderer) -> None:
    """Ctrl-C on a terminal reaches the workers too; the page at hand is finished first all the same."""
    for process in workers(pdf):
        os.kill(process, signal.SIGINT)
    before = workers(pdf)
    assert (await render(pdf, PAGE)).startswith(b"%PDF-")
    assert workers(pdf) == before


async def test_a_machine_without_pango_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start on a fresh machine fails here; the message is the whole instruction."""
    (tmp_path / "weasyprint.py").write_text("raise OSError('cannot load library libpango-1.0-0')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PdfError, match=r"apt-get install .*libpango-1\.0-0 .*libharfbuzz-subset0"):
        async with PdfRenderer(1):
            pass


@pytest.mark.process
async def test_a_closed_renderer_leaves_no_process() -> None:
    """Consumers are restarted often; forgotten workers would fill the memory."""
    async with PdfRenderer(1) as renderer:
        [process] = workers(renderer)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(RuntimeError, match="async with"):
        await render(renderer, PAGE)
