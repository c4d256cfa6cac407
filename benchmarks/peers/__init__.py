"""Other consumers of SQS for Python, each by the means that its own documentation gives.

None is a dependency of this repository: who wants to compare installs them beside it, what is missing is left out.
Each module has `body(order)`, the message as the peer's own sender would write it, and `consume`, a `Driver`.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.consumers import OWN, Driver, as_text

PEERS: Mapping[str, str] = {
    "taskiq": "taskiq_aio_sqs",
    "dramatiq": "dramatiq_sqs",
    "celery": "celery",
    "powertools": "aws_lambda_powertools",
}
"""Module of this package by name, and what must be importable for it."""


def installed() -> list[str]:
    """Peers that can take part."""
    return [name for name, package in PEERS.items() if find_spec(package) is not None]


def driver(name: str) -> Driver:
    """One of ours or a peer's."""
    chosen: Driver = OWN[name]() if name in OWN else import_module(f"{__name__}.{name}").consume
    return chosen


def body(name: str, order: dict[str, Any]) -> str:
    """An order as this consumer expects it in SQS."""
    text: str = as_text(order) if name in OWN else import_module(f"{__name__}.{name}").body(order)
    return text
