"""An order's timeline as server-sent events (WHATWG HTML, section 9.2)."""

from collections.abc import AsyncIterator

import orjson
from aiohttp import web

from bbws.gateway.keys import STREAMS
from bbws.gateway.permissions import Right
from bbws.gateway.requests import path_id, sender, wanted_media
from bbws.gateway.route import EVENT_STREAM, Answer, Parameter, Route
from bbws.gateway.streams import Feed, is_complete
from bbws.shared.contracts.sales.orders import TimelineEntry

MAX_LAST_EVENT_ID_CHARS = 200

# The browser connects again this long after the stream ends, unless the last event was `end`.
_RECONNECT = b"retry: 2000\n\n"
_HEARTBEAT = b": still here\n\n"
_END = b"event: end\ndata: {}\n\n"


async def stream_events(request: web.Request) -> web.StreamResponse:
    """Entries beyond Last-Event-ID, then each as it happens; the event `end` says that nothing more will come.

    204 when the client has everything and nothing more can come: that stops a browser from connecting again.
    """
    wanted_media(request, [EVENT_STREAM])
    seen = request.headers.get("Last-Event-ID", "")[:MAX_LAST_EVENT_ID_CHARS]
    tenant_id, order_id = path_id(request, "tenantId"), path_id(request, "orderId")
    async with request.app[STREAMS].watch(tenant_id, order_id, sender(request)) as feed:
        if is_complete(feed.entries) and feed.entries[-1].id == seen:
            return web.Response(status=204)
        return await _stream(request, feed, seen)


async def _stream(request: web.Request, feed: Feed, seen: str) -> web.StreamResponse:
    # X-Accel-Buffering: nginx would hold events back until its buffer is full.
    response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, "X-Accel-Buffering": "no"})
    await response.prepare(request)
    try:
        await response.write(_RECONNECT)
        async for chunk in _chunks(request, feed, seen):
            await response.write(chunk)
    except ConnectionError:
        return response  # The watcher left; that is how most streams end.
    return response


async def _chunks(request: web.Request, feed: Feed, seen: str) -> AsyncIterator[bytes]:
    async for entry in request.app[STREAMS].follow(feed, seen):
        yield _HEARTBEAT if entry is None else _event(entry)
    if is_complete(feed.entries):
        yield _END


def _event(entry: TimelineEntry) -> bytes:
    data = orjson.dumps(entry.model_dump(mode="json"))
    return f"id: {entry.id}\nevent: {entry.kind}\ndata: ".encode() + data + b"\n\n"


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}/events",
        operation_id="order-event-stream",
        handler=stream_events,
        summary="Watch an order",
        tag="orders",
        access=Right.ORDERS_READ,
        scope="tenant",
        description=(
            "The timeline as server-sent events, one per entry, `data` being the entry as JSON. The event `end` says "
            "that nothing more will come; without it, connect again with Last-Event-ID."
        ),
        answers={
            200: Answer("The stream", TimelineEntry, media=(EVENT_STREAM,)),
            204: Answer("Nothing more will come"),
        },
        errors=(406,),
        parameters=(Parameter("Last-Event-ID", "header", "The last entry the client has.", {"type": "string"}),),
    ),
)
