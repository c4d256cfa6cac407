import asyncio

import pytest

from bbws.shared.integrations import payfast_sources
from bbws.shared.integrations.payfast_sources import (
    SourceCheck,
    SourceUndecided,
    parse_networks,
    sender_address,
)

_PROXIES = parse_networks(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "sender"),
    [
        ("203.0.113.9", ["197.97.145.150"], "203.0.113.9"),
        ("10.0.0.1", ["197.97.145.150"], "197.97.145.150"),
        ("10.0.0.1", ["197.97.145.150, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["197.97.145.150", "203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        ("::1", ["197.97.145.150:4711"], "197.97.145.150"),
        ("::ffff:10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["nonsense"], "nonsense"),
    ],
    ids=["stranger", "proxy", "forged", "two proxies", "port", "mapped", "no header", "inside", "nonsense"],
)
def test_only_trusted_proxies_say_who_sent_a_request(peer: str, forwarded_for: list[str], sender: str) -> None:
    """Anybody can write X-Forwarded-For; WooCommerce believes it and so accepts forged payments."""
    assert sender_address(peer, forwarded_for, _PROXIES) == sender


async def _nothing(host: str) -> list[str]:
    raise OSError(f"no such host {host}")


async def test_addresses_in_the_published_ranges_are_known() -> None:
    """PayFast publishes ranges, and a package that compares single addresses misses most of them."""
    check = SourceCheck(["197.97.145.144/28", "144.126.193.139"], [], resolve=_nothing)
    assert await check.is_known("197.97.145.159")
    assert await check.is_known("::ffff:144.126.193.139")
    assert not await check.is_known("197.97.145.160")
    assert not await check.is_known("nonsense")


class _Names:
    """Name resolution whose answers a test sets."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked = 0

    async def __call__(self, host: str) -> list[str]:
        self.asked += 1
        if host not in self.addresses:
            raise OSError("no answer")
        return self.addresses[host]


async def test_addresses_of_the_hosts_are_known_and_kept() -> None:
    """PayFast moves its hosts without notice, and a notification must not wait for DNS each time."""
    time_s = [0.0]
    names = _Names(www=["192.0.2.1", "2001:db8::5"])
    check = SourceCheck([], ["www"], resolve=names, now=lambda: time_s[0])
    assert [await check.is_known(a) for a in ("192.0.2.1", "2001:db8::5", "192.0.2.2")] == [True, True, False]
    assert names.asked == 1
    names.addresses["www"] = ["192.0.2.2"]
    time_s[0] = 301
    assert await check.is_known("192.0.2.2")


async def test_a_failing_look_up_keeps_what_was_known_and_is_soon_repeated() -> None:
    """A short outage of DNS must not turn genuine payments into suspicious ones."""
    time_s = [0.0]
    names = _Names(www=["192.0.2.1"])
    check = SourceCheck([], ["www", "w1w"], resolve=names, now=lambda: time_s[0])
    assert await check.is_known("192.0.2.1")
    names.addresses = {"w1w": ["192.0.2.7"]}
    time_s[0] = 11
    assert await check.is_known("192.0.2.1")
    assert await check.is_known("192.0.2.7")


async def test_an_address_that_only_a_missing_host_could_know_is_undecided() -> None:
    """ "Unknown" would refuse a payment for good, because a name server was out for a minute."""
    names = _Names(www=["192.0.2.1"])
    check = SourceCheck(["197.97.145.144/28"], ["www", "w1w"], resolve=names)
    assert await check.is_known("197.97.145.150"), "ranges need no name server"
    assert await check.is_known("192.0.2.1")
    with pytest.raises(SourceUndecided, match="w1w"):
        await check.is_known("192.0.2.7")
    assert not await check.is_known("nonsense")


async def test_a_name_server_that_is_silent_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every notice waits behind the look-up: without an end of it none would be judged any more."""

    async def silence(_: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(payfast_sources, "RESOLVE_TIMEOUT_S", 0.05)
    check = SourceCheck([], ["www"], resolve=silence)
    async with asyncio.timeout(5):
        with pytest.raises(SourceUndecided):
            await check.is_known("192.0.2.1")


async def test_a_burst_of_notices_looks_up_once() -> None:
    """PayFast sends what it could not deliver all at once; its hosts are asked for once all the same."""
    names = _Names(www=["192.0.2.1"])

    async def slowly(host: str) -> list[str]:
        await asyncio.sleep(0.01)
        return await names(host)

    check = SourceCheck([], ["www"], resolve=slowly)
    assert all(await asyncio.gather(*(check.is_known("192.0.2.1") for _ in range(20))))
    assert names.asked == 1
