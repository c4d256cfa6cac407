"""What a client checks certificates against."""

from typing import Any

from botocore.utils import get_environ_proxies


def verification(endpoint_url: str | None, config: Any = None) -> bool | None:
    """A client's `verify`: False where no certificate is ever seen, else None, which is as configured.

    To load those of all authorities takes a client 16 ms, more than all the rest of it.
    """
    if endpoint_url is None or not endpoint_url.startswith("http://"):
        return None
    return None if (config and config.proxies) or get_environ_proxies(endpoint_url) else False
