"""Who sent a request, and whether that is a known address of PayFast."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str], Awaitable[Sequence[str]]]

RESOLVE_EVERY_S = 300
RESOLVE_AGAIN_AFTER_S = 10
RESOLVE_TIMEOUT_S = 5


def parse_networks(ranges: Iterable[str]) -> tuple[Network, ...]:
    """CIDR ranges or single addresses; raises ValueError naming the one that is neither."""
    return tuple(ip_network(text.strip(), strict=False) for text in ranges)


def sender_address(peer: str, forwarded_for: Iterable[str], trusted_proxies: Sequence[Network]) -> str:
    """The address a request really came from: its peer, or what a trusted proxy says about it.

    `forwarded_for` has the values of all `X-Forwarded-For` headers. Only its right-most entry that is not itself a
    trusted proxy counts: anybody can write the entries to the left of it.
    """
    if not trusted_proxies or not _is_in(peer, trusted_proxies):
        return peer
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",") if hop.strip()]
    for hop in reversed(hops):
        if not _is_in(hop, trusted_proxies):
            return _without_port(hop)
    return _without_port(hops[0]) if hops else peer


class SourceUndecided(Exception):
    """The address may belong to a host that cannot be looked up now."""


class SourceCheck:
    """Known senders: ranges of addresses, and hosts whose addresses are looked up and kept for five minutes.

    A host that cannot be looked up keeps the addresses it had, and is looked up again after 10 s.
    """

    def __init__(
        self,
        ranges: Iterable[str],
        hosts: Iterable[str],
        *,
        resolve: Resolve | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._networks = parse_networks(ranges)
        self._hosts = tuple(hosts)
        self._resolve = resolve or resolve_host
        self._now = now
        self._of_host: dict[str, frozenset[Address]] = {}
        self._next_look_up: float | None = None
        self._looking_up = asyncio.Lock()

    async def is_known(self, address: str) -> bool:
        """Whether the address is in a range or belongs to a host; what is not an address is not known.

        Raises SourceUndecided where only a host that cannot be looked up now could know it.
        """
        parsed = _parse(address)
        if parsed is None:
            return False
        if any(parsed in network for network in self._networks):
            return True
        async with self._looking_up:
            await self._look_up()
        if any(parsed in addresses for addresses in self._of_host.values()):
            return True
        if missing := [host for host in self._hosts if host not in self._of_host]:
            raise SourceUndecided(f"{', '.join(missing)} cannot be looked up")
        return False

    async def _look_up(self) -> None:
        if self._next_look_up is not None and self._now() < self._next_look_up:
            return
        found = await asyncio.gather(*(self._addresses(host) for host in self._hosts))
        self._of_host |= {host: addresses for host, addresses in zip(self._hosts, found, strict=True) if addresses}
        self._next_look_up = self._now() + (RESOLVE_EVERY_S if all(found) else RESOLVE_AGAIN_AFTER_S)

    async def _addresses(self, host: str) -> frozenset[Address]:
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                return frozenset(filter(None, map(_parse, await self._resolve(host))))
        except OSError:  # TimeoutError is one
            return frozenset()


async def resolve_host(host: str) -> list[str]:
    """The addresses of a host; raises OSError when it has none."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(answer[4][0]) for answer in answers]


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(_without_port(text.strip()))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _without_port(hop: str) -> str:
    """`1.2.3.4:5678` and `[::1]:5678` without the port, as some proxies add it."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
