"""HTML to PDF by WeasyPrint, in processes of its own: a page takes some 70 ms of CPU, too long for the event loop."""

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from bbws.shared.integrations.pdf_drawing import PdfError, draw, prepare, warm

__all__ = ("PdfError", "PdfRenderer")

T = TypeVar("T")


class PdfRenderer:
    """`async with PdfRenderer(2) as pdf`: two warm worker processes at a lower priority, gone at the end.

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
            await asyncio.gather(*(self._run(warm) for _ in range(self._processes)))
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
        return await self._run(draw, html, title, created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))

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
        return ProcessPoolExecutor(self._processes, mp_context=context, initializer=prepare)

    async def _close(self) -> None:
        self._is_open = False
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)
