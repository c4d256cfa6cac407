"""The key of an order's own pages: whoever has the address may see this one order, and nothing else.

A customer of the shop needs no account, and ids are no secret: PayFast and log files hold them. So the address of the
pages carries a signature over both ids, made with `token_signing_key` under a purpose of its own.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from urllib.parse import urlencode

from bbws.shared.addresses import ORDER_PAGE
from bbws.shared.settings import Settings

PARAMETER = "key"
_PURPOSE = "order-pages"
# 192 bits: PayFast takes addresses of 255 characters, and nobody guesses this over the network.
_KEY_BYTES = 24


def order_key(settings: Settings, tenant_id: str, order_id: str) -> str:
    """32 characters that need no escaping; the same for the same order until the signing key changes."""
    signing_key = settings.token_signing_key.get_secret_value().encode()
    digest = hmac.digest(signing_key, f"{_PURPOSE}\0{tenant_id}\0{order_id}".encode(), hashlib.sha256)
    return urlsafe_b64encode(digest[:_KEY_BYTES]).decode()


def opens(settings: Settings, tenant_id: str, order_id: str, key: str) -> bool:
    """Whether `key` is that of the order, compared in constant time. Says nothing about whether the order exists."""
    return hmac.compare_digest(key.encode(errors="replace"), order_key(settings, tenant_id, order_id).encode())


def order_page(settings: Settings, tenant_id: str, order_id: str, part: str = "", **query: str) -> str:
    """The path of one of the order's pages with its key; `part` begins with a slash, as in `/checkout`."""
    page = ORDER_PAGE.format(tenantId=tenant_id, orderId=order_id)
    more = f"&{urlencode(query)}" if query else ""
    return f"{page}{part}?{PARAMETER}={order_key(settings, tenant_id, order_id)}{more}"


def order_url(settings: Settings, tenant_id: str, order_id: str, **query: str) -> str:
    """The public address of the order's page: for mails, documents, and the way back from PayFast."""
    return settings.public_base_url + order_page(settings, tenant_id, order_id, **query)
