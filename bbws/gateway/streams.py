"""Timelines of orders as they grow; all watchers of one order in this process share one poll per second."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import Gauge

from bbws.gateway.problems import Busy
from bbws.shared.contracts.sales.orders import TimelineEntry
from bbws.shared.errors import BbwsError
from bbws.shared.logging import get_logger
from bbws.shared.sales.rules.timeline import MAILS_OF_AN_ORDER

ReadTimeline = Callable[[str, str], Awaitable[Sequence[TimelineEntry]]]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    poll_s: float = 1.0
    heartbeat_s: float = 15.0
    # Proxies cut long connections; ending them ourselves lets the client resume cleanly.
    max_open_s: float = 600.0
    max_streams: int = 500
    # Below the cap of all, so that one order or one sender cannot keep everybody else from watching.
    max_of_order: int = 10
    max_of_sender: int = 20


def is_complete(entries: Sequence[TimelineEntry]) -> bool:
    """Nothing more can come: the invoice is out and every mail is sent."""
    kinds = [entry.kind for entry in entries]
    return "INVOICE_ISSUED" in kinds and kinds.count("MAIL_SENT") >= MAILS_OF_AN_ORDER


class Feed:
    """One order's timeline while somebody watches it."""

    def __init__(self, entries: Sequence[TimelineEntry]) -> None:
        self.entries = entries
        self.watchers = 0
        self.ended = False
        self._changed = asyncio.Event()

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change; take it before looking at `entries`, or a change in between is missed."""
        return self._changed

    def update(self, entries: Sequence[TimelineEntry]) -> None:
        if entries != self.entries:
            self.entries = entries
            self._wake()

    def end(self) -> None:
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class TimelineStreams:
    def __init__(self, read: ReadTimeline, limits: StreamLimits, gauge: Gauge) -> None:
        self._read = read
        self._limits = limits
        self._gauge = gauge
        self._feeds: dict[tuple[str, str], Feed] = {}
        self._polls: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._open = 0
        self._of_order: Counter[tuple[str, str]] = Counter()
        self._of_sender: Counter[str] = Counter()
        self._closing = False

    @asynccontextmanager
    async def watch(self, tenant_id: str, order_id: str, sender: str) -> AsyncIterator[Feed]:
        """The order's feed, kept up to date while the context is open. Raises Busy at a cap, NotFound."""
        self._refuse_too_many((tenant_id, order_id), sender)
        self._count(+1, (tenant_id, order_id), sender)
        try:
            feed = await self._join(tenant_id, order_id)
            try:
                yield feed
            finally:
                self._leave(tenant_id, order_id, feed)
        finally:
            self._count(-1, (tenant_id, order_id), sender)

    async def follow(self, feed: Feed, last_event_id: str | None) -> AsyncIterator[TimelineEntry | None]:
        """What `feed` has beyond `last_event_id`, then what comes; None is a heartbeat."""
        deadline = asyncio.get_running_loop().time() + self._limits.max_open_s
        sent = _ids_until(feed.entries, last_event_id)
        while True:
            changed = feed.changed
            for entry in feed.entries:
                if entry.id not in sent:
                    sent.add(entry.id)
                    yield entry
            left_s = deadline - asyncio.get_running_loop().time()
            if feed.ended or left_s <= 0 or is_complete(feed.entries):
                return
            if not await _happens(changed, min(self._limits.heartbeat_s, left_s)):
                yield None

    async def close(self) -> None:
        """Every stream has been told to end, no new one starts, nothing polls any more."""
        self._closing = True
        for feed in self._feeds.values():
            feed.end()
        polls = list(self._polls.values())
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)

    def _refuse_too_many(self, order: tuple[str, str], sender: str) -> None:
        if self._closing or self._open >= self._limits.max_streams:
            raise Busy("This process serves as many event streams as it can; read the order instead, or come again.")
        if self._of_order[order] >= self._limits.max_of_order:
            raise Busy("This order has as many event streams as one may have; close one, or read the order instead.")
        if self._of_sender[sender] >= self._limits.max_of_sender:
            raise Busy("Your address has as many event streams as one may have; close one, or read the order instead.")

    def _count(self, change: int, order: tuple[str, str], sender: str) -> None:
        self._open += change
        self._gauge.set(self._open)
        self._of_order[order] += change
        self._of_sender[sender] += change
        # Without those that have none: whoever has ever watched would be kept for ever.
        self._of_order, self._of_sender = +self._of_order, +self._of_sender

    async def _join(self, tenant_id: str, order_id: str) -> Feed:
        key = (tenant_id, order_id)
        if key not in self._feeds:
            entries = await self._read(tenant_id, order_id)
            # Another watcher may have joined during the read; then its feed is the one.
            if key not in self._feeds:
                self._feeds[key] = Feed(entries)
                self._polls[key] = asyncio.create_task(self._poll(key, self._feeds[key]))
        feed = self._feeds[key]
        feed.watchers += 1
        return feed

    def _leave(self, tenant_id: str, order_id: str, feed: Feed) -> None:
        feed.watchers -= 1
        if feed.watchers == 0:
            self._feeds.pop((tenant_id, order_id))
            self._polls.pop((tenant_id, order_id)).cancel()

    async def _poll(self, key: tuple[str, str], feed: Feed) -> None:
        while True:
            await asyncio.sleep(self._limits.poll_s)
            try:
                feed.update(await self._read(*key))
            except BbwsError as error:
                # An outage passes; the watchers keep their connections and the next poll tries again.
                log.warning("timeline cannot be read at the moment", order_id=key[1], reason=str(error))
            except Exception:
                log.exception("timeline cannot be read", order_id=key[1])
                feed.end()
                return


def _ids_until(entries: Sequence[TimelineEntry], last_event_id: str | None) -> set[str]:
    """Ids up to `last_event_id`; none when that is unknown here, so that the client rather sees an entry twice."""
    ids = [entry.id for entry in entries]
    return set(ids[: ids.index(last_event_id) + 1]) if last_event_id in ids else set()


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
