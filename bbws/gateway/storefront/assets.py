"""Styles, script and icon of the storefront: read once, served under an address that changes with their content."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from bbws.gateway.requests import matches_none
from bbws.gateway.route import Route
from bbws.shared.errors import NotFound
from bbws.shared.templating import templates_dir

_MEDIA = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    media: str
    digest: str

    @property
    def etag(self) -> str:
        return f'"{self.digest}"'


ASSETS: web.AppKey[Mapping[str, Asset]] = web.AppKey("storefront_assets")


def load_assets() -> dict[str, Asset]:
    """Every packaged asset by its name."""
    found = sorted((templates_dir() / "assets").iterdir())
    return {path.name: _asset(path.read_bytes(), _MEDIA[path.suffix]) for path in found if path.suffix in _MEDIA}


def _asset(body: bytes, media: str) -> Asset:
    return Asset(body, media, hashlib.sha256(body).hexdigest()[:16])


def addresses(assets: Mapping[str, Asset]) -> dict[str, str]:
    """What pages link to: `/assets/storefront.css?v=…`, which a browser may keep for ever."""
    return {name: f"/assets/{name}?v={asset.digest}" for name, asset in assets.items()}


async def get_asset(request: web.Request) -> web.Response:
    """The asset; kept for ever when asked for with its present content hash, revalidated by ETag otherwise."""
    asset = request.app[ASSETS].get(request.match_info["name"])
    if asset is None:
        raise NotFound("There is nothing at this address.")
    current = request.query.get("v") == asset.digest
    headers = {"ETag": asset.etag, "Cache-Control": _FOREVER if current else "no-cache"}
    if matches_none(request, asset.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.body, content_type=asset.media, charset="utf-8", headers=headers)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/assets/{name}",
        operation_id="storefront-asset",
        handler=get_asset,
        summary="Styles and script of the pages",
        tag="pages",
        access="public",
        cacheable=True,
        page=True,
    ),
)
