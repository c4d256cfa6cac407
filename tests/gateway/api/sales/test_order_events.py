"""The event stream of an order: what a browser's EventSource needs, and what protects the process."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import SimpleNamespace

import orjson
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from prometheus_client import Gauge

from bbws.gateway.problems import Busy
from bbws.gateway.streams import Feed, ReadTimeline, StreamLimits, TimelineStreams, is_complete
from bbws.shared.contracts.sales.orders import TimelineEntry, TimelineKind
from bbws.shared.errors import NotFound, Unavailable
from bbws.shared.settings import Settings
from tests.gateway.support import Api, as_operator, orders_path
from tests.support.builders import PLACED_AT
from tests.support.identity import Identity
from tests.support.waiting import eventually

HERE = "/v1.0/tenants/019abf6e-5d1c-7c3e-9d7b-3f1f6f3c2a10/orders/019abf6e-5d1c-7c3e-9d7b-3f1f6f3c2a11/events"
OTHER, THIRD, FOURTH = (HERE.replace("2a11", last) for last in ("2a12", "2a13", "2a14"))
LIMITS = StreamLimits(poll_s=0.02, heartbeat_s=0.1, max_open_s=20, max_streams=2)
MAILS = tuple(f"mail{number}" for number in range(4))

Client = TestClient[web.Request, web.Application]


@dataclass
class Story:
    """A timeline that the test tells; `error` is raised instead of it."""

    entries: tuple[TimelineEntry, ...] = ()
    error: Exception | None = None
    reads: int = 0
    limits: StreamLimits = field(default=LIMITS)

    async def read(self, tenant_id: str, order_id: str) -> tuple[TimelineEntry, ...]:
        self.reads += 1
        if self.error:
            raise self.error
        return self.entries

    def tell(self, entry_id: str, kind: TimelineKind = "ORDER_PAID") -> None:
        self.entries += (TimelineEntry(id=entry_id, kind=kind, at=PLACED_AT, text=f"{entry_id} happened"),)

    def tell_all(self) -> None:
        self.tell("placed", "ORDER_PLACED")
        self.tell("issued", "INVOICE_ISSUED")
        for name in MAILS:
            self.tell(name, "MAIL_SENT")


Serving = Callable[[Story], AbstractAsyncContextManager[Client]]


@pytest.fixture
def serving(shared_identity: Identity) -> Serving:
    """A gateway that tells a story to an operator."""

    def serve(story: Story) -> AbstractAsyncContextManager[Client]:
        services = SimpleNamespace(pings={}, orders=SimpleNamespace(timeline=story.read))
        settings = Settings(trusted_proxies="127.0.0.1/32")
        return as_operator(shared_identity, services, settings, stream_limits=story.limits)

    return serve


async def _block(response: ClientResponse) -> dict[str, str]:
    """The next event of the stream; a comment is under `""`, the end of the stream is empty."""
    async with asyncio.timeout(5):
        raw = await response.content.readuntil(b"\n\n")
    assert raw or response.ok, f"no stream but {response.status}"
    lines = [line for line in raw.decode().splitlines() if line]
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


async def _event(response: ClientResponse) -> dict[str, str]:
    while "event" not in (block := await _block(response)):
        pass
    return block


async def _ids_to_the_end(response: ClientResponse) -> list[str]:
    async with asyncio.timeout(5):
        text = (await response.read()).decode()
    return [line[4:] for line in text.splitlines() if line.startswith("id: ")]


async def test_events_arrive_as_they_happen(serving: Serving) -> None:
    """The status page updates by itself: what was comes at once, what comes later without asking."""
    # No heartbeat within the test: only the change itself may wake the stream.
    story = Story(limits=StreamLimits(poll_s=0.02, heartbeat_s=60, max_open_s=120, max_streams=2))
    story.tell("placed", "ORDER_PLACED")
    async with serving(story) as client, client.get(HERE) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await _block(response) == {"retry": "2000"}
        first = await _event(response)
        assert (first["id"], first["event"]) == ("placed", "ORDER_PLACED")
        story.tell("paid")
        second = await _event(response)
        data = orjson.loads(second["data"])
        assert data == {"id": "paid", "kind": "ORDER_PAID", "at": "2026-11-21T17:30:00.000Z", "text": "paid happened"}


async def test_entry_that_belongs_earlier_is_sent_too(serving: Serving) -> None:
    """Consumers finish in any order: an entry that sorts before one already sent must not get lost."""
    story = Story()
    story.tell("placed")
    story.tell("later")
    async with serving(story) as client, client.get(HERE) as response:
        assert [(await _event(response))["id"] for _ in range(2)] == ["placed", "later"]
        story.tell("between")
        story.entries = (story.entries[0], story.entries[2], story.entries[1])
        assert (await _event(response))["id"] == "between"


@pytest.mark.parametrize(
    ("last", "ids"),
    [("placed", ["issued", *MAILS]), ("mail2", ["mail3"]), ("unknown", ["placed", "issued", *MAILS])],
)
async def test_stream_resumes_after_the_last_event(last: str, ids: list[str], serving: Serving) -> None:
    """After a broken connection nothing is missed and nothing known is repeated."""
    story = Story()
    story.tell_all()
    async with serving(story) as client, client.get(HERE, headers={"Last-Event-ID": last}) as response:
        assert await _ids_to_the_end(response) == ids


async def test_stream_ends_when_the_story_is_told(serving: Serving) -> None:
    """A page left open must not hold a connection for ever; 204 keeps EventSource from connecting again."""
    story = Story()
    story.tell_all()
    async with serving(story) as client:
        async with client.get(HERE) as response:
            assert (await response.read()).endswith(b"event: end\ndata: {}\n\n")
        async with client.get(HERE, headers={"Last-Event-ID": MAILS[-1]}) as again:
            assert (again.status, await again.read()) == (204, b"")


async def test_stream_ends_after_its_time_and_without_the_end_event(serving: Serving) -> None:
    """The client then connects again; proxies that cut long connections never get the chance."""
    story = Story(limits=StreamLimits(poll_s=0.02, heartbeat_s=5, max_open_s=0.2, max_streams=2))
    story.tell("placed")
    async with serving(story) as client, client.get(HERE) as response:
        # Not only at the next heartbeat.
        async with asyncio.timeout(3):
            body = await response.read()
    assert b"id: placed" in body
    assert b"event: end" not in body


async def test_quiet_stream_has_heartbeats(serving: Serving) -> None:
    """Proxies close what is silent for a minute; and only writing shows that a watcher has left."""
    story = Story()
    story.tell("placed")
    async with serving(story) as client, client.get(HERE) as response:
        await _event(response)
        assert await _block(response) == {"": "still here"}


async def test_watchers_of_one_order_share_a_poll(serving: Serving) -> None:
    """A hundred open pages of one order must not mean a hundred reads each second."""
    story = Story(limits=StreamLimits(poll_s=30, heartbeat_s=0.05, max_open_s=20, max_streams=10))
    story.tell("placed")
    async with serving(story) as client, client.get(HERE) as one, client.get(HERE) as two:
        await _event(one)
        await _event(two)
        assert story.reads == 1


async def test_polling_ends_with_the_last_watcher(serving: Serving) -> None:
    """Nobody watches, nothing is read: otherwise each order ever opened would be polled until the process ends."""
    story = Story()
    story.tell("placed")
    async with serving(story) as client:
        async with client.get(HERE) as response:
            await _event(response)

        async def streams_are_closed() -> bool:
            async with client.get("/metrics") as metrics:
                return "bbws_gateway_open_streams 0.0" in await metrics.text()

        await eventually(streams_are_closed, what="the gauge says that no stream is open")
        reads = story.reads
        async with client.get("/healthz"):
            await asyncio.sleep(5 * LIMITS.poll_s)
        assert story.reads == reads


async def test_too_many_streams_are_refused(serving: Serving) -> None:
    """Each stream holds a connection; beyond the cap the order can still be read, and later watched."""
    story = Story()
    story.tell("placed")
    async with serving(story) as client, client.get(HERE) as one, client.get(HERE) as two:
        assert (one.status, two.status) == (200, 200)
        async with client.get(HERE) as three:
            problem = await three.json(content_type=None)
            assert (three.status, three.headers["Retry-After"]) == (503, "5")
            assert "event streams" in problem["detail"]


@pytest.mark.parametrize(
    ("limits", "orders", "senders", "detail"),
    [
        (StreamLimits(max_of_order=2), (HERE, HERE, HERE), ("10.0.0.1", "10.0.0.2", "10.0.0.3"), "This order"),
        (StreamLimits(max_of_sender=2), (HERE, OTHER, THIRD), ("10.0.0.1",) * 3, "Your address"),
    ],
)
async def test_one_order_or_sender_cannot_take_all_streams(
    limits: StreamLimits, orders: tuple[str, str, str], senders: tuple[str, str, str], detail: str, serving: Serving
) -> None:
    """A single client could keep every customer from watching; a place that becomes free may be taken again."""
    story = Story(limits=limits)
    story.tell("placed")
    proxied = [{"X-Forwarded-For": address} for address in senders]
    async with serving(story) as client, client.get(orders[0], headers=proxied[0]) as one:
        async with client.get(orders[1], headers=proxied[1]) as two:
            assert (one.status, two.status) == (200, 200)
            async with client.get(orders[2], headers=proxied[2]) as three:
                problem = await three.json(content_type=None)
                assert (three.status, three.headers["Retry-After"]) == (503, "5")
                assert problem["detail"].startswith(detail)
            async with client.get(FOURTH, headers={"X-Forwarded-For": "10.0.0.4"}) as somebody_else:
                assert somebody_else.status == 200

        async def has_room() -> bool:
            async with client.get(orders[2], headers=proxied[2]) as again:
                return again.status == 200

        await eventually(has_room, what="the place is free again")


async def test_unknown_order_has_no_stream(serving: Serving) -> None:
    """The answer is a problem like any other, because nothing has been sent yet."""
    async with serving(Story(error=NotFound("there is no such order"))) as client, client.get(HERE) as response:
        assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_streams_that_never_began_take_no_place(serving: Serving) -> None:
    """Whoever asks for orders that do not exist must not keep everybody else from watching theirs."""
    story = Story(error=NotFound("there is no such order"))
    async with serving(story) as client:
        for _ in range(LIMITS.max_streams + 1):
            async with client.get(HERE) as refused:
                assert refused.status == 404
        story.error = None
        story.tell("placed")
        async with client.get(HERE) as response:
            assert response.status == 200


async def test_streams_are_no_slow_requests(serving: Serving) -> None:
    """Ten minutes of watching would pull the 99th percentile of all answers up; that a stream was served counts."""
    story = Story()
    story.tell_all()
    async with serving(story) as client:
        await (await client.get(HERE)).read()
        await (await client.get("/healthz")).read()
        metrics = await (await client.get("/metrics")).text()
    assert 'bbws_gateway_requests_total{operation="order-event-stream",status="200"} 1.0' in metrics
    assert 'duration_seconds_count{operation="health-get"}' in metrics
    assert 'duration_seconds_count{operation="order-event-stream"}' not in metrics


def _streams(read: ReadTimeline, limits: StreamLimits = LIMITS) -> TimelineStreams:
    return TimelineStreams(read, limits, Gauge("open_streams", "In this test.", registry=None))


async def test_two_who_come_at_once_watch_one_feed() -> None:
    """Both read the order before either has a feed; the second must join the first's, not replace it."""
    may_read, waiting = asyncio.Event(), Counter[str]()

    async def read(tenant_id: str, order_id: str) -> tuple[TimelineEntry, ...]:
        waiting[order_id] += 1
        await may_read.wait()
        return ()

    async def watch() -> Feed:
        async with streams.watch("tenant", "order", "10.0.0.1") as feed:
            await together.wait()
            return feed

    streams, together = _streams(read), asyncio.Barrier(2)
    watching = [asyncio.create_task(watch()) for _ in range(2)]
    await eventually(lambda: waiting["order"] == 2, what="both read")
    may_read.set()
    async with asyncio.timeout(5):
        one, other = await asyncio.gather(*watching)
    assert one is other
    kept = (streams._feeds, streams._polls, streams._of_order, streams._of_sender)
    assert not any(kept), "nobody watches any more"


async def test_no_stream_begins_while_the_process_ends() -> None:
    """A page whose stream was ended connects again at once; served again, it would hold the process up."""
    streams = _streams(Story().read)
    await streams.close()
    with pytest.raises(Busy):
        async with streams.watch("tenant", "order", "10.0.0.1"):
            pass


def test_a_story_without_its_invoice_is_not_over() -> None:
    """A page that stops to watch then never shows the invoice."""
    story = Story()
    for name in MAILS:
        story.tell(name, "MAIL_SENT")
    assert not is_complete(story.entries)
    story.tell("issued", "INVOICE_ISSUED")
    assert is_complete(story.entries)
    assert not is_complete(story.entries[1:])


async def test_stream_outlives_an_outage(serving: Serving) -> None:
    """While the table is out of reach the page stays connected, and then shows what was missed."""
    story = Story()
    story.tell("placed")
    async with serving(story) as client, client.get(HERE) as response:
        await _event(response)
        story.error = Unavailable("dynamodb", "out")
        reads = story.reads
        await eventually(lambda: story.reads > reads + 1, what="polls that fail")
        story.error = None
        story.tell("paid")
        assert (await _event(response))["id"] == "paid"


async def test_bug_in_a_poll_ends_the_stream(serving: Serving) -> None:
    """The client connects again and learns of the bug; a stream that says nothing for ever would hide it."""
    story = Story()
    story.tell("placed")
    async with serving(story) as client, client.get(HERE) as response:
        await _event(response)
        story.error = RuntimeError("a bug")
        async with asyncio.timeout(5):
            await response.read()


async def test_streams_end_at_shutdown(serving: Serving) -> None:
    """A deploy must not wait ten minutes for a page that somebody left open."""
    story = Story()
    story.tell("placed")
    async with serving(story) as client, client.get(HERE) as response:
        await _event(response)
        async with asyncio.timeout(3):
            await client.server.close()
            await response.read()


async def test_other_media_types_are_not_to_be_had(api: Api) -> None:
    """A client that asks for JSON here would wait for ever for the end of its document."""
    order = (await api.place(await api.a_tenant(), await api.a_product())).json
    refused = await api.get(order["_links"]["events"]["href"], headers={"Accept": "application/json"})
    assert refused.status == 406


async def test_real_order_tells_that_it_was_placed(api: Api) -> None:
    """The stream and the service agree on the order's story."""
    tenant = await api.a_tenant()
    order = (await api.place(tenant, await api.a_product())).json
    async with api.client.get(f"{orders_path(tenant)}/{order['id']}/events", headers=api.bearer) as response:
        event = await _event(response)
    assert (event["id"], event["event"]) == (f"{order['id']}.placed", "ORDER_PLACED")
