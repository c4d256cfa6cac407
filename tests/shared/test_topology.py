"""Topology refuses what cannot work, and the order of its entries means nothing."""

import random
from collections.abc import Callable
from importlib import resources
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from bbws.consumers import CONSUMERS
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.contracts.events import EVENTS
from bbws.shared.settings import Settings
from bbws.shared.topology import Rule, Topology

# What production must not run without, see tests/shared/test_settings.py.
EARNEST = {
    "cursor_signing_key": "c" * 32,
    "token_signing_key": "t" * 32,
    "audit_signing_keys": "a" * 32,
    "cognito_user_pool_id": "af-south-1_Pool01",
    "cognito_client_ids": ("client",),
    "payfast_passphrase": "a long passphrase",
    "payfast_url": "https://www.payfast.co.za",
    "payfast_merchant_id": "12345678",
    "public_base_url": "https://shop.example",
}


def _document() -> dict[str, Any]:
    text = resources.files("bbws.shared").joinpath("topology.json").read_text()
    document: dict[str, Any] = orjson.loads(text.replace("{env}", "local"))
    return document


def _set(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def _repeat(group: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document[group].append(document[group][0])


def _name_a_queue_like_a_dead_letter_queue(document: dict[str, Any]) -> None:
    document["queues"].append(document["queues"][0] | {"name": document["queues"][0]["name"] + "-dlq"})


def _name_an_index_twice(document: dict[str, Any]) -> None:
    document["tables"][0]["indexes"].append(document["tables"][0]["indexes"][0])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_set("queues", 0, "batchSize", to=11), "batchSize"),
        (_set("queues", 0, "batchSize", to=0), "batchSize"),
        (_set("queues", 0, "maxWorkers", to=0), "maxWorkers"),
        (_set("queues", 0, "visibilityTimeoutS", to=12 * 3600 + 1), "visibilityTimeoutS"),
        (_set("queues", 0, "retentionS", to=59), "retentionS"),
        (_set("queues", 0, "retentionS", to=14 * 24 * 3600 + 1), "retentionS"),
        (_set("queues", 0, "maxReceiveCount", to=3), "above attempts"),
        (_set("queues", 0, "attempts", to=20), "above attempts"),
        (_set("queues", 0, "types", to=[]), "types"),
        (_set("queues", 0, "types", to=None), "belong together"),
        (_set("queues", 0, "topic", to=None), "belong together"),
        (_set("queues", 0, "topic", to="nowhere"), "nothing declares.*nowhere"),
        (_set("rules", 0, "topic", to="nowhere"), "nothing declares.*nowhere"),
        (_set("rules", 1, "queue", to="nowhere"), "queues that nothing declares.*nowhere"),
        (_set("rules", 1, "queue", to=None), "either a topic or a queue"),
        (_set("rules", 0, "queue", to="order-pdf"), "either a topic or a queue"),
        (_set("rules", 0, "deadLetterQueue", to="order-pdf-dlq"), "declared twice.*order-pdf-dlq"),
        (_set("rules", 0, "deadLetterQueue", to=""), "deadLetterQueue"),
        (_set("queues", 0, "name", to="q" * 77), "name"),
        (_set("queues", 0, "name", to="order.record"), "name"),
        (_set("bus", to="bbws-events-{stage}"), "bus"),
        (_set("buckets", 0, "name", to="Templates"), "name"),
        (_set("buckets", 0, "name", to="templates_local"), "name"),
        (_set("buckets", 0, "role", to="documents"), "one bucket for documents and one for templates"),
        (_set("buckets", 0, "noncurrentVersionDays", to={"dev": 0}), "noncurrentVersionDays"),
        (_set("queues", 0, "surprise", to=1), "surprise"),
        (_repeat("topics"), "declared twice"),
        (_repeat("rules"), "declared twice"),
        (_repeat("queues"), "declared twice"),
        (_repeat("tables"), "declared twice"),
        (_repeat("buckets"), "declared twice"),
        (_name_a_queue_like_a_dead_letter_queue, "declared twice"),
        (_name_an_index_twice, "declared twice"),
    ],
)
def test_impossible_settings_are_refused(change: Callable[[dict[str, Any]], None], complaint: str) -> None:
    """AWS would refuse them half way through a deployment, or worse, take them."""
    document = _document()
    change(document)
    with pytest.raises(ValidationError, match=complaint):
        Topology.model_validate(document)


def test_the_packaged_topology_is_possible() -> None:
    """The document that the refusals above start from is the one that runs."""
    assert Topology.model_validate(_document()) == Topology.for_settings(Settings())


def test_a_pause_that_lasts_does_not_use_up_the_receives() -> None:
    """C-37: with a trial each half minute, a throttled message stays out of the dead letters for eight minutes."""
    topology = Topology.for_settings(Settings())
    for queue in topology.queues:
        assert (queue.max_receive_count - queue.attempts) * 30 >= 8 * 60


def test_every_environment_has_names_of_its_own_where_names_are_shared() -> None:
    """Bus and buckets of dev and prod in one account, and buckets of two companies, must not be the same."""
    dev = Topology.for_settings(Settings(environment="dev", **EARNEST))  # type: ignore[arg-type]
    prod = Topology.for_settings(Settings(environment="prod", bucket_suffix="-acme", **EARNEST))  # type: ignore[arg-type]
    assert (dev.bus, prod.bus) == ("bbws-events-dev", "bbws-events-prod")
    assert [b.bucket(role).name for b in (dev, prod) for role in ("templates", "documents")] == [
        "bbws-templates-dev",
        "bbws-documents-dev",
        "bbws-templates-prod-acme",
        "bbws-documents-prod-acme",
    ]


def test_the_longest_bucket_suffix_still_makes_a_bucket_name() -> None:
    """S3 takes 63 characters; settings must not allow what topology refuses."""
    settings = Settings(environment="prod", bucket_suffix="x" * 24, **EARNEST)  # type: ignore[arg-type]
    assert len(Topology.for_settings(settings).bucket("documents").name) <= 63


def test_queues_and_consumers_know_each_other() -> None:
    """A queue that no consumer reads fills up unseen; a type that is no event matches nothing."""
    topology = Topology.for_settings(Settings())
    assert {queue.consumer for queue in topology.queues} <= CONSUMERS.keys()
    published = {event.TYPE for event in EVENTS.values()}
    assert {kind for queue in topology.queues for kind in queue.types or ()} <= published


def test_events_that_somebody_acts_on_reach_a_queue() -> None:
    """An event that no rule matches disappears without a trace; those of tenants are for others, but for the mail."""
    topology = Topology.for_settings(Settings())
    acted_on = {"ORDER_CREATED", "INVOICE_ISSUED", "REGISTRATION_REQUESTED"}
    taken = {event.TYPE for event in EVENTS.values() if any(_takes(rule, event) for rule in topology.rules)}
    assert taken == acted_on
    assert {rule.input_path for rule in topology.rules} == {"$.detail"}


def test_a_rule_may_send_straight_to_a_queue() -> None:
    """The mail with the link needs no topic between: one queue wants it, and keeps what SNS sends it besides."""
    topology = Topology.for_settings(Settings())
    (rule,) = topology.rules_into("customer-notify")
    assert (rule.name, rule.topic, rule.target) == ("registration-mail-rule", None, "customer-notify")
    assert topology.queue("customer-notify").topic == "bbws-order-events"
    assert topology.rules_into("order-pdf") == ()


def _takes(rule: Rule, event: type[Envelope]) -> bool:
    return event.SOURCE in rule.pattern["source"] and event.TYPE in rule.pattern.get("detail-type", [event.TYPE])


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_entries_declare_the_same(seed: int) -> None:
    """Whoever sorts the file, or adds a queue at its top, must not change what is deployed."""
    declared, shuffled = Topology.model_validate(_document()), Topology.model_validate(shuffled_document(seed))
    assert shuffled != declared, "nothing was shuffled"
    assert {q.name: q.filter_policy for q in shuffled.queues} == {q.name: q.filter_policy for q in declared.queues}
    assert [shuffled.table(t.name).key_attributes for t in declared.tables] == [
        t.key_attributes for t in declared.tables
    ]
    assert shuffled.bucket("documents") == declared.bucket("documents")
    assert {q.name: q.consumer for q in shuffled.queues} == {q.name: q.consumer for q in declared.queues}


def shuffled_document(seed: int) -> dict[str, Any]:
    """The packaged document with every list in another order."""
    shuffled: dict[str, Any] = _shuffled(_document(), random.Random(seed))
    return shuffled


def _shuffled(node: Any, order: random.Random) -> Any:
    match node:
        case dict():
            return {key: _shuffled(node[key], order) for key in order.sample(sorted(node), len(node))}
        case list():
            return [_shuffled(entry, order) for entry in order.sample(node, len(node))]
    return node
