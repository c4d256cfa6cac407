"""`bbws openapi` and `bbws asyncapi`."""

from openapi_spec_validator import validate

from bbws.shared.contracts.sales.order_events import InvoiceIssued, OrderCreated
from bbws.shared.contracts.tenancy.tenant_events import RegistrationRequested
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.cli.support import json_of
from tests.support.commands import bbws


def test_openapi_prints_a_valid_document() -> None:
    """Clients are generated from it."""
    document = json_of(bbws("openapi"))
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_asyncapi_names_every_queue_and_every_event() -> None:
    """Whoever writes the next consumer starts from it."""
    document = json_of(bbws("asyncapi"))
    assert document["asyncapi"] == "3.0.0"
    channels = {channel["address"] for channel in document["channels"].values()}
    assert channels == {queue.name for queue in Topology.for_settings(Settings()).queues}
    assert {event.__name__ for event in (InvoiceIssued, OrderCreated, RegistrationRequested)} <= document["components"][
        "schemas"
    ].keys()
    received = {operation["channel"]["$ref"] for operation in document["operations"].values()}
    assert received == {f"#/channels/{name}" for name in document["channels"]}
