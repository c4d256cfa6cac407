"""What the worker processes of `PdfRenderer` do: prepare themselves, then draw pages by WeasyPrint."""

import gc
import hashlib
import multiprocessing
import os
import re
import signal
import threading
import time
from contextlib import suppress
from functools import cache, lru_cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from bbws.shared.errors import BbwsError

DEBIAN_PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"
# A PDF can wait, a mail and an answer cannot: where both want the CPU, a worker gets a quarter of it.
# It is a weight, so however busy the machine is, PDFs are drawn.
NICENESS = 5
_AUTOGROUP = Path("/proc/self/autogroup")
_AUTOGROUP_TRIES, _AUTOGROUP_PAUSE_S = 20, 0.1
MAX_KEPT_SHEETS = 32
# A style sheet without these is the same for every page: it loads nothing, adds no font and no counter, and what it
# says ranks below the page's own style attributes in any case.
_OF_ITS_PAGE = re.compile(r"!|@(?!page\b|media\b|(?:top|bottom|left|right)-)", re.IGNORECASE)


class PdfError(BbwsError):
    """The HTML cannot become a PDF, now or later."""

    title = "PDF error"


def prepare() -> None:
    """Makes this process a worker: at a lower priority, ended by its parent alone, with all of WeasyPrint loaded."""
    _stand_back()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches every process of the terminal; the parent decides when the page at hand is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where libharfbuzz-subset0 is missing fontTools subsets the fonts, and writes the time into them otherwise.
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    # An error here would only say "broken pool"; the first page says what is wrong.
    with suppress(PdfError):
        warm()
    # What is loaded by now stays; looking through it after each page would be for nothing.
    gc.freeze()


def _stand_back() -> None:
    """Lowers the priority of this process; it leaves its session, because Linux may weigh sessions before processes.

    Where it does (sched(7), "autogroup"), niceness counts within a session only, and each has a weight of its own.
    """
    os.nice(NICENESS)
    with suppress(PermissionError):  # already the first of its session
        os.setsid()
    for _ in range(_AUTOGROUP_TRIES):
        try:
            _AUTOGROUP.write_text(str(NICENESS))
        except BlockingIOError:  # the kernel takes one change in a tenth of a second
            time.sleep(_AUTOGROUP_PAUSE_S)
        except OSError:
            return  # a kernel, or a container, that knows no autogroup
        else:
            return


def _end_with_parent() -> None:
    """A killed parent tells nobody: its workers would wait for work for ever, and hold its pipes open."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def warm() -> None:
    draw("<p>warm</p>", "warm", "2026-01-01T00:00:00Z")


def draw(html: str, title: str, created: str) -> bytes:
    weasyprint = _weasyprint()
    identifier = hashlib.sha256("\x1f".join((title, created, html)).encode()).digest()[:16]
    try:
        page = weasyprint.HTML(string=html, url_fetcher=_data_only())
        document = page.render(pdf_tags=True, **_shared(page))
        document.metadata.title = title
        document.metadata.created = document.metadata.modified = created
        pdf: bytes = document.write_pdf(pdf_identifier=identifier, pdf_tags=True)
    except weasyprint.urls.FatalURLFetchingError as error:
        raise PdfError(f"{title}: {error}: a document holds all it needs in itself or in data: addresses") from None
    return pdf


def _shared(page: Any) -> dict[str, Any]:
    """Fonts and style sheets of earlier pages, where this one has no others; WeasyPrint then passes over its own."""
    sheets = [element for element in page.etree_element.iter() if _name(element) in ("style", "link", "base")]
    if any(_name(sheet) != "style" or sheet.attrib or _OF_ITS_PAGE.search(sheet.text or "") for sheet in sheets):
        return {}
    for sheet in sheets:
        sheet.set("type", "text/parsed-before")
    return {"font_config": _fonts(), "stylesheets": [_sheet(sheet.text or "") for sheet in sheets]}


def _name(element: Any) -> str:
    # A comment's tag is a function; what stands in an <svg> has its namespace before the name.
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


@cache
def _fonts() -> Any:
    """The fonts of the machine: finding and opening them takes a sixth of a page's time."""
    from weasyprint.text.fonts import FontConfiguration

    return FontConfiguration()


@lru_cache(MAX_KEPT_SHEETS)
def _sheet(text: str) -> Any:
    return _weasyprint().CSS(string=text, url_fetcher=_data_only())


def _data_only() -> Any:
    # Without fail_on_errors WeasyPrint logs a warning and prints an invoice that lacks something.
    return _weasyprint().urls.URLFetcher(allowed_protocols=("data",), allow_redirects=False, fail_on_errors=True)


def _weasyprint() -> Any:
    """The module, loaded in the worker alone: it takes a second and loads Pango."""
    try:
        import weasyprint
    except OSError as error:
        raise PdfError(
            f"WeasyPrint cannot load Pango ({error}). On Debian and Ubuntu: apt-get install {DEBIAN_PACKAGES}"
        ) from None
    return weasyprint
