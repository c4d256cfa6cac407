"""Forms that only our own pages can send: a signed token in the form, bound to a cookie of the same browser.

The token also makes an order happen once: the order's id is made from it, so that a second press of the button, a
reload or the back button finds the order that is there.
"""

import hashlib
import hmac
import re
import secrets
import time
from http import HTTPStatus
from uuid import UUID

from aiohttp import web
from yarl import URL

from bbws.gateway.keys import SETTINGS
from bbws.gateway.problems import ClientError
from bbws.shared.ids import new_id
from bbws.shared.settings import Settings

FORM_FIELD = "token"
COOKIE = "bbws_form"
# Somebody who leaves the form open over night may still send it in the morning.
MAX_AGE_S = 24 * 3600

_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")
_TOKEN = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([0-9a-f]{64})")
_OWN_SITE = {"same-origin", "none"}


def browser_secret(request: web.Request) -> str | None:
    """What the cookie holds, when it looks like one that we set."""
    value = request.cookies.get(COOKIE, "")
    return value if _COOKIE_VALUE.fullmatch(value) else None


def new_browser_secret() -> str:
    return secrets.token_urlsafe(32)


def remember_browser(response: web.StreamResponse, secret: str, settings: Settings, path: str) -> None:
    """The cookie that belongs to the forms under `path`."""
    secure = settings.public_base_url.startswith("https://")
    response.set_cookie(COOKIE, secret, path=path, httponly=True, samesite="Strict", secure=secure)


def new_token(secret: str, settings: Settings) -> str:
    """`{form id}.{signature}`, good for `MAX_AGE_S` in the browser whose cookie holds `secret`."""
    form_id = new_id()
    return f"{form_id}.{_signature(secret, form_id, settings)}"


def form_id_of(token: str, secret: str | None, settings: Settings) -> str | None:
    """The id of a form that we gave to this browser; None for any other token, and for one that is too old."""
    match = _TOKEN.fullmatch(token)
    if match is None or secret is None:
        return None
    form_id, signature = match.groups()
    genuine = hmac.compare_digest(signature, _signature(secret, form_id, settings))
    return form_id if genuine and time.time() - _made_at_s(form_id) <= MAX_AGE_S else None


def order_id(form_id: str, *content: str) -> str:
    """The same id for the same content of one form, always; a UUID version 7 that keeps the form's time.

    Somebody who goes back, changes the form and sends it again means another order, not the first one.
    """
    digest = int.from_bytes(hashlib.sha256("\0".join((form_id, *content)).encode()).digest()[:16])
    random_bits = (digest >> 64 & 0xFFF) << 64 | 0b10 << 62 | digest & (1 << 62) - 1
    return str(UUID(int=UUID(form_id).int >> 80 << 80 | 0x7 << 76 | random_bits))


def _made_at_s(form_id: str) -> float:
    return (UUID(form_id).int >> 80) / 1000


def _signature(secret: str, form_id: str, settings: Settings) -> str:
    key = settings.token_signing_key.get_secret_value().encode()
    return hmac.digest(key, f"storefront-form\0{secret}\0{form_id}".encode(), hashlib.sha256).hex()


def refuse_other_sites(request: web.Request) -> None:
    """Raises ClientError 403 for a form that a page of another site sent (Fetch metadata, or Origin where absent)."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    foreign = site not in _OWN_SITE if site is not None else origin is not None and not _is_ours(request, origin)
    if foreign:
        raise ClientError(HTTPStatus.FORBIDDEN, "This form was sent by a page of another site.")


def _is_ours(request: web.Request, origin: str) -> bool:
    # Not the request's Host: behind a proxy it says neither the scheme nor, perhaps, the name that the browser used.
    try:
        return _origin(origin) == _origin(request.app[SETTINGS].public_base_url)
    except ValueError:  # no URL at all
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = URL(url)
    return parts.scheme, parts.host, parts.port
