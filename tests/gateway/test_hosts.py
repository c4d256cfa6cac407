"""Whose requests are answered: those that name us, not those that a foreign name brings here."""

import pytest

from bbws.gateway.hosts import host_names, is_own_host

OWN = frozenset({"shop.bbws.example", "gateway"})


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1:8080", "10.1.2.3:80", "[::1]", "[::1]:8080", "localhost", "LocalHost:4566",
        "shop.bbws.example", "SHOP.bbws.example:443", "shop.bbws.example.", "gateway:8080",
    ],
)  # fmt: skip
def test_own_names_and_addresses_are_ours(host: str) -> None:
    """A health check by address, a container by service name and a customer by public name are all answered."""
    assert is_own_host(host, OWN)


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:8080", "shop.bbws.example.evil.example", "localhost.evil.example",
        "127.0.0.1.evil.example", "127.0.0.1@evil.example", "127.1", "[::1", "::1", "[127.0.0.1]", "localhost:",
        "localhost:x", "localhost:80:80", "localhost ", "localhost\n", "shop.bbws.example..", "１２７.0.0.1",
    ],
)  # fmt: skip
def test_other_names_and_malformed_ones_are_not(host: str) -> None:
    """A foreign name that resolves to this machine is how a web page gets behind the browser's same-origin rule."""
    assert not is_own_host(host, OWN)


def test_names_come_from_the_settings_urls() -> None:
    """The public address is configured once; the name in it needs no setting of its own."""
    urls = ("https://Shop.bbws.example:8443/base", None, "http://gateway:8080", "http://[::1]:80", "")
    assert host_names(*urls) == {"shop.bbws.example", "gateway", "::1"}
