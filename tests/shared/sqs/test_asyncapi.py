"""The AsyncAPI document: what other teams read and generate code from."""

import json
from pathlib import Path
from typing import Any

import pytest
from faststream.specification import AsyncAPI
from jsonschema import Draft7Validator  # type: ignore[import-untyped]
from pydantic import BaseModel
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from bbws.shared.sqs import SNSTopic, SQSBroker, SQSQueue, SQSRouter, TopicLink

SCHEMAS = Path(__file__).parent / "asyncapi"
VERSIONS = ["2.6.0", "3.0.0"]
# Extensions are anybody's.
EXTENSION = Resource.from_contents(True, default_specification=DRAFT7)
REGISTRY: Registry[Any] = Registry().with_resource(
    "http://asyncapi.com/definitions/3.0.0/specificationExtension.json", EXTENSION
)


class Order(BaseModel):
    id: int


ORDERS = SQSQueue(
    "orders",
    visibility_timeout=77,
    delay=3,
    retention=3600,
    max_receive_count=4,
    dead_letter="orders-dlq",
    tags={"team": "shop"},
    topics=[TopicLink("events", filter_policy={"type": ["PAID", {"prefix": "SITE_"}]}), TopicLink("all", raw=False)],
)
FAST_LANE = SQSQueue(
    "lane",
    fifo=True,
    attributes={"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"},
)


def a_shop() -> SQSBroker:
    """Each kind of queue and topic, by each kind of name."""
    router = SQSRouter("eu-")

    @router.subscriber(SQSQueue("routed", dead_letter="routed-dlq"), visibility_timeout=40)
    async def routed(order: Order) -> None: ...

    broker = SQSBroker(routers=[router])

    @broker.subscriber(ORDERS)
    @broker.publisher(FAST_LANE)
    @broker.publisher(topic="events")
    async def handle(order: Order) -> Order:
        return order

    @broker.subscriber("https://sqs.eu-west-1.amazonaws.com/1/by-url", batch=True)
    @broker.publisher(topic="arn:aws:sns:eu-west-1:1:by-arn.fifo")
    async def many(orders: list[Order]) -> None: ...

    letters = "arn:aws:sqs:eu-west-1:1:letters"
    broker.publisher(SQSQueue("arn:aws:sqs:eu-west-1:1:by-arn", dead_letter=letters), title="ByArn")
    broker.publisher(SNSTopic("lined-up", fifo=True), schema=Order)
    return broker


def bindings_of(broker: SQSBroker, version: Any) -> dict[str, Any]:
    """Of each channel, by its queue or topic; operations have none, which needs no telling twice."""
    document = json.loads(AsyncAPI(broker, schema_version=version).to_specification().to_json())
    operations = document.get("operations", {}).values()
    channels = document["channels"].values()
    operations = [*operations, *(c[way] for c in channels for way in ("publish", "subscribe") if c.get(way))]
    assert not [operation for operation in operations if operation.get("bindings")]
    assert all(len(channel["bindings"]) == 1 for channel in channels)
    return {next(iter(_names(channel["bindings"]))): channel["bindings"] for channel in channels}


def _names(bindings: dict[str, Any]) -> list[str]:
    return [binding.get("queue", binding)["name"] for binding in bindings.values()]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_binding_is_what_the_binding_specification_asks_for(version: Any) -> None:
    """By AsyncAPI's own schemas: what they refuse no tool of AsyncAPI reads."""
    checked = 0
    for bindings in bindings_of(a_shop(), version).values():
        [(protocol, binding)] = bindings.items()
        file = f"{protocol}-{binding['bindingVersion']}-channel.json"
        schema = json.loads((SCHEMAS / file).read_text())
        Draft7Validator(schema, registry=REGISTRY).validate(binding)
        checked += 1
    assert checked == 8


@pytest.mark.parametrize("version", VERSIONS)
def test_a_queue_shows_what_its_consumers_and_senders_must_know(version: Any) -> None:
    """Timeouts, where dead letters go and after how many receives, FIFO, and the topics that it hears."""
    bindings = bindings_of(a_shop(), version)
    assert bindings["orders"]["sqs"]["queue"] == {
        "name": "orders",
        "fifoQueue": False,
        "visibilityTimeout": 77,
        "deliveryDelay": 3,
        "messageRetentionPeriod": 3600,
        "redrivePolicy": {"deadLetterQueue": {"name": "orders-dlq"}, "maxReceiveCount": 4},
        "tags": {"team": "shop"},
        "x-sns-subscriptions": [
            {
                "topic": "events",
                "rawMessageDelivery": True,
                "filterPolicy": {"type": ["PAID", {"prefix": "SITE_"}]},
                "filterPolicyScope": "MessageAttributes",
            },
            {"topic": "all", "rawMessageDelivery": False},
        ],
    }
    assert bindings["lane.fifo"]["sqs"]["queue"] == {
        "name": "lane.fifo",
        "fifoQueue": True,
        "deduplicationScope": "messageGroup",
        "fifoThroughputLimit": "perMessageGroupId",
    }
    assert bindings["eu-routed"]["sqs"]["queue"] == {
        "name": "eu-routed",
        "fifoQueue": False,
        "visibilityTimeout": 40,
        "redrivePolicy": {"deadLetterQueue": {"name": "eu-routed-dlq"}, "maxReceiveCount": 5},
    }
    policy = bindings["by-arn"]["sqs"]["queue"]["redrivePolicy"]
    assert policy["deadLetterQueue"] == {"arn": "arn:aws:sqs:eu-west-1:1:letters"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_topic_is_a_topic(version: Any) -> None:
    """FastStream itself has no binding for SNS."""
    bindings = bindings_of(a_shop(), version)
    assert bindings["events"] == {
        "sns": {"name": "events", "ordering": {"type": "standard"}, "bindingVersion": "0.1.0"}
    }
    assert bindings["lined-up.fifo"]["sns"]["ordering"] == {"type": "FIFO"}
    assert bindings["by-arn.fifo"]["sns"]["ordering"] == {"type": "FIFO"}


@pytest.mark.parametrize("version", VERSIONS)
def test_other_brokers_documents_are_as_they_were(version: Any) -> None:
    """FastStream learns of one more binding, and forgets none."""
    from faststream.specification.asyncapi.v2_6_0.schema.bindings import ChannelBinding
    from faststream.specification.schema.bindings import ChannelBinding as Given
    from faststream.specification.schema.bindings import redis

    bindings_of(a_shop(), version)
    shown = ChannelBinding.from_pub(Given(redis=redis.ChannelBinding(channel="c")))
    assert shown.redis
    assert shown.redis.channel == "c"
    assert ChannelBinding.from_pub(None) is None
