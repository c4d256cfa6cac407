"""Which `Host` headers are ours: what keeps a page of another site from reaching us under its own name.

DNS rebinding points a foreign name at our address; the browser then takes our answers for those of the foreign site,
but still sends its name. An address written out as such cannot be pointed anywhere else.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
_ALWAYS_OURS = "localhost"


def is_own_host(host_header: str, own_names: Collection[str]) -> bool:
    """True for addresses, `localhost` and `own_names` (lower case), whatever the port; false for what is malformed."""
    match = _HOST.fullmatch(host_header)
    if match is None:
        return False
    bracketed, plain = match.groups()
    if bracketed is not None:
        return _is_address(bracketed, version=6)
    name = plain.lower().removesuffix(".")
    return name == _ALWAYS_OURS or name in own_names or _is_address(name, version=4)


def host_names(*urls: str | None) -> frozenset[str]:
    """The hosts of `urls`, in lower case; None and what has no host add nothing."""
    hosts = (urlsplit(url).hostname for url in urls if url)
    return frozenset(host.removesuffix(".") for host in hosts if host)


def _is_address(text: str, *, version: int) -> bool:
    try:
        return ip_address(text).version == version
    except ValueError:
        return False
