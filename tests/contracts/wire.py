"""Events as they were on the wire: what queues, outboxes and dead letters hold of every version that ever ran.

A file is named after its event and its own bytes: it is written once, and never again. `python -m tests.contracts.wire`
adds what the samples of today look like on the wire, where that is not kept yet.
"""

import hashlib
from pathlib import Path

from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.events import EVENTS
from tests.contracts.published import SAMPLES

WIRE = Path(__file__).parent / "on_the_wire"


def event_name(event: type[Envelope]) -> str:
    return f"{event.TYPE}.v{event.VERSION}"


def file_name(event: type[Envelope], body: bytes) -> str:
    return f"{event_name(event)}.{hashlib.sha256(body).hexdigest()[:12]}.json"


def keep(event: Envelope) -> None:
    body = event.to_json()
    (WIRE / file_name(type(event), body)).write_bytes(body)


if __name__ == "__main__":
    for kind in EVENTS.values():
        keep(kind.model_validate_json((SAMPLES / f"{event_name(kind)}.json").read_bytes()))
