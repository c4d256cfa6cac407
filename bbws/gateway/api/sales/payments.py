"""Where PayFast tells what became of a payment."""

from aiohttp import web

from bbws.gateway.keys import BACKGROUND, services
from bbws.gateway.requests import raw_body, sender

MAX_ITN_BYTES = 64 * 1024


async def receive_itn(request: web.Request) -> web.Response:
    """200 without a body once the notification is stored, whatever it says (C-29); 503 makes PayFast send it again.

    It is judged afterwards: asking PayFast back may take longer than PayFast waits for this answer.
    """
    payments = services(request).payments
    received = await payments.receive_itn(await raw_body(request), sender(request))
    if received.is_open:
        request.app[BACKGROUND].start(payments.judge_itn(received.itn))
    return web.Response()
