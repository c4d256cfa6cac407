"""A list read to its end."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bbws.shared.contracts.pages import Page, PageRequest

T = TypeVar("T")


async def paged(read: Callable[[PageRequest], Awaitable[Page[T]]], *, limit: int) -> list[list[T]]:
    """Every page, each of at most `limit`; the last may be empty."""
    pages: list[list[T]] = []
    cursor: str | None = None
    while True:
        found = await read(PageRequest(limit, cursor))
        pages.append(list(found.items))
        cursor = found.next_cursor
        if cursor is None:
            return pages
