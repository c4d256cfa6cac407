"""What is declared in one place and used in another."""

import re
from collections import Counter

from prometheus_client import CollectorRegistry

from bbws.consumers import CONSUMERS
from bbws.consumers.app import Consumer, build
from bbws.gateway.routes import ROUTES
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology

# The operations of the documents' inventory of Lambdas, without the suffix. Built ones are moved here from NOT_BUILT.
BUILT = {
    *("tenant-create", "tenant-get", "tenant-list", "tenant-update", "tenant-delete", "tenant-park", "tenant-unpark"),
    "tenant-status",
}
NOT_BUILT = {
    *("site-create", "site-get", "site-list", "site-update", "site-delete", "site-clone", "site-promote"),
    *("site-health", "template-list", "template-apply", "plugin-list", "plugin-install"),
    *("instance-create", "instance-get", "instance-list", "instance-update", "instance-delete"),
    *("instance-status-get", "instance-status-update", "instance-size-update"),
}


def test_operations_of_the_documents_keep_their_names() -> None:
    """Whoever knows the documents finds each operation of their inventory in OpenAPI under the same name."""
    offered = {route.operation_id for route in ROUTES}
    assert offered >= BUILT
    assert not offered & NOT_BUILT, "it is built: move it to BUILT"


def test_operations_are_named_alike_and_once() -> None:
    """The id names the method in generated clients: two of a kind would overwrite each other."""
    counts = Counter(route.operation_id for route in ROUTES)
    assert max(counts.values()) == 1
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", operation_id) for operation_id in counts)


def test_every_queue_has_one_consumer() -> None:
    """A queue that nobody reads fills; one that two processes read does each thing in either of them."""
    readers = Counter(queue.name for consumer in _consumers().values() for queue in consumer.queues)
    assert readers == Counter(queue.name for queue in Topology.for_settings(Settings()).queues)


def test_every_queue_is_read_by_the_consumer_that_topology_names() -> None:
    """Alarms and scaling of a service follow the queue's declared consumer."""
    declared = {queue.name: queue.consumer for queue in Topology.for_settings(Settings()).queues}
    for name, consumer in _consumers().items():
        for queue in consumer.queues:
            assert declared[queue.name] == name


def _consumers() -> dict[str, Consumer]:
    return {name: build(entry.register, Settings(), registry=CollectorRegistry()) for name, entry in CONSUMERS.items()}
