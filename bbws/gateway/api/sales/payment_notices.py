"""Where PayFast tells what became of a payment."""

from aiohttp import web

from bbws.gateway.keys import BACKGROUND, services
from bbws.gateway.requests import raw_body, sender
from bbws.gateway.route import FORM, Answer, Route
from bbws.shared.addresses import PAYFAST_ITN

MAX_ITN_BYTES = 64 * 1024


async def receive_itn(request: web.Request) -> web.Response:
    """200 without a body once the notification is stored, whatever it says (C-29); 503 makes PayFast send it again.

    It is judged afterwards: asking PayFast back may take longer than PayFast waits for this answer.
    """
    notices = services(request).payment_notices
    received = await notices.receive(await raw_body(request), sender(request))
    if received.itn:
        request.app[BACKGROUND].start(notices.judge(received.notice, received.itn))
    return web.Response()


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=PAYFAST_ITN,
        operation_id="payfast-itn-receive",
        handler=receive_itn,
        summary="Receive PayFast's notification of a payment",
        tag="payments",
        access="public",
        description="Called by PayFast alone. What is forged or unknown is stored, flagged, and changes nothing.",
        request_media=FORM,
        answers={200: Answer("Stored")},
        max_body_bytes=MAX_ITN_BYTES,
    ),
)
