"""HTML to PDF by WeasyPrint, in processes of its own: a page takes some 200 ms of CPU, too long for the event loop."""

import asyncio
import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self, TypeVar

from bbws.shared.errors import BbwsError

DEBIAN_PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"

T = TypeVar("T")


class PdfError(BbwsError):
    """The HTML cannot become a PDF, now or later."""

    title = "PDF error"


class PdfRenderer:
    """`async with PdfRenderer(2) as pdf`: two warm worker processes, gone at the end.

    Entering raises PdfError when WeasyPrint cannot be loaded; with `warm=False` the first page starts the workers and
    raises it, which suits a process that rarely draws one. The page sees no file and no network, only what the
    HTML itself holds (`data:` addresses); a reference to anything else is a PdfError. The same HTML, title and date
    give the same bytes, in whatever process, as long as WeasyPrint and the fonts are the same.
    """

    def __init__(self, processes: int, *, warm: bool = True) -> None:
        self._processes = processes
        self._warm = warm
        self._is_open = False
        self._pool: ProcessPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        self._is_open = True
        if not self._warm:
            return self
        try:
            await asyncio.gather(*(self._run(_warm) for _ in range(self._processes)))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def render(self, html: str, *, title: str, created: datetime) -> bytes:
        """The PDF, dated `created`. A worker that dies is replaced, and the page tried once more."""
        return await self._run(_pdf, html, title, created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        pool = self._open_pool()
        try:
            return await self._submit(pool, work, *arguments)
        except BrokenProcessPool:
            self._replace(pool)
        try:
            return await self._submit(self._open_pool(), work, *arguments)
        except BrokenProcessPool as error:
            self._replace(self._open_pool())
            raise PdfError("the PDF worker died twice over the same page; is there memory enough?") from error

    async def _submit(self, pool: ProcessPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        # All calls in flight fail together; the first one replaces the pool for them all.
        if self._pool is broken:
            broken.shutdown(wait=False)
            self._pool = self._new_pool()

    def _open_pool(self) -> ProcessPoolExecutor:
        if not self._is_open:
            raise RuntimeError("PdfRenderer is not open; use `async with`")
        if self._pool is None:
            self._pool = self._new_pool()
        return self._pool

    def _new_pool(self) -> ProcessPoolExecutor:
        # Spawned, not forked: a fork would copy the event loop's threads and sockets.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._processes, mp_context=context, initializer=_prepare)

    async def _close(self) -> None:
        self._is_open = False
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)


def _prepare() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches every process of the terminal; the parent decides when the page at hand is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where libharfbuzz-subset0 is missing fontTools subsets the fonts, and writes the time into them otherwise.
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    # An error here would only say "broken pool"; the first page says what is wrong.
    with suppress(PdfError):
        _warm()


def _end_with_parent() -> None:
    """A killed parent tells nobody: its workers would wait for work for ever, and hold its pipes open."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _warm() -> None:
    _pdf("<p>warm</p>", "warm", "2026-01-01T00:00:00Z")


def _pdf(html: str, title: str, created: str) -> bytes:
    weasyprint = _weasyprint()
    identifier = hashlib.sha256("\x1f".join((title, created, html)).encode()).digest()[:16]
    try:
        document = weasyprint.HTML(string=html, url_fetcher=_data_only()).render(pdf_tags=True)
        document.metadata.title = title
        document.metadata.created = document.metadata.modified = created
        pdf: bytes = document.write_pdf(pdf_identifier=identifier, pdf_tags=True)
    except weasyprint.urls.FatalURLFetchingError as error:
        raise PdfError(f"{title}: {error}: a document holds all it needs in itself or in data: addresses") from None
    return pdf


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
