"""Where PayFast tells what became of a payment."""

from aiohttp import web

from bbws.gateway.keys import TRUSTED_PROXIES, services
from bbws.gateway.requests import raw_body
from bbws.shared.integrations.payfast_sources import sender_address

MAX_ITN_BYTES = 64 * 1024


async def receive_itn(request: web.Request) -> web.Response:
    """200 without a body once the notification is stored, whatever it says (C-29); 503 makes PayFast send it again."""
    forwarded_for = request.headers.getall("X-Forwarded-For", [])
    source = sender_address(request.remote or "", forwarded_for, request.app[TRUSTED_PROXIES])
    await services(request).payments.receive_itn(await raw_body(request), source)
    return web.Response()
