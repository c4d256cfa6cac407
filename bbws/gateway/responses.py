"""Answers: HAL resources with links of what may be done next, pages, ETags."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel

from bbws.gateway.links import Links, link
from bbws.gateway.requests import matches_none
from bbws.gateway.route import JSON
from bbws.shared.contracts.base import Record
from bbws.shared.contracts.pages import Page, PageRequest


def etag_of(version: int, *parts: str) -> str:
    """`"7"` for a resource whose version says all; `parts` for what the answer holds beside it."""
    return '"' + ".".join((str(version), *parts)) + '"'


def json_answer(document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type=JSON, headers=headers)


def resource(
    request: web.Request,
    value: BaseModel,
    links: Links,
    *,
    etag: str | None = None,
    status: int = 200,
    location: str | None = None,
    retry_after_s: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> web.Response:
    """`value` with `_links`; 304 without a body for a GET whose If-None-Match holds `etag`."""
    headers = {"ETag": etag} if etag else {}
    if etag and request.method in {"GET", "HEAD"} and matches_none(request, etag):
        return web.Response(status=304, headers=headers)
    if location:
        headers["Location"] = location
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    document = {**value.model_dump(mode="json"), **(extra or {}), "_links": links}
    return json_answer(document, status=status, headers=headers)


def record(request: web.Request, value: Record, links: Links, *, created: bool = False) -> web.Response:
    """A stored resource under its ETag: just made, at `links["self"]`, or as it stands."""
    return resource(
        request,
        value,
        links,
        etag=etag_of(value.version),
        status=201 if created else 200,
        location=links["self"]["href"] if created else None,
    )


def collection(
    request: web.Request,
    asked: PageRequest,
    page: Page[Any],
    items: Sequence[Mapping[str, Any]],
    links: Links = MappingProxyType({}),
) -> web.Response:
    """One page of a list; `Link: rel="next"` and `_links.next` lead on while there is more.

    `links` are those of the list itself: they are there when it is empty, too.
    """
    links = {"self": link(request.path_qs), **links}
    headers = {}
    if page.next_cursor is not None:
        following = str(request.rel_url.update_query(limit=str(asked.limit), cursor=page.next_cursor))
        links["next"] = link(following)
        headers["Link"] = f'<{following}>; rel="next"'
    return json_answer({"items": list(items), "_links": links}, headers=headers)


def embedded(value: BaseModel, links: Links) -> dict[str, Any]:
    """`value` as an item of a list."""
    return {**value.model_dump(mode="json"), "_links": links}
