"""Provisioning on the emulator: what is declared is made, what drifts is named and mended."""

from typing import Any

import orjson
import pytest

from bbws.provision.provisioner import Provisioner
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.event_bus import EventBus
from bbws.shared.settings import Settings
from bbws.shared.topology import DEAD_LETTER_RETENTION_S, Topology
from tests.shared.test_topology import shuffled_document
from tests.support.builders import order_created, registration_requested, tenant_created
from tests.support.drifts import Drift, named_and_mended
from tests.support.waiting import eventually

pytestmark = pytest.mark.needs("dynamodb", "s3", "events", "sns", "sqs", "sesv2")
TOPIC = "bbws-order-events"


async def test_an_empty_account_lacks_everything_and_has_it_after_apply(
    clients: AwsClients, settings: Settings, topology: Topology
) -> None:
    """`--check` must name what a deployment forgot, and say nothing when nothing is."""
    provisioner = Provisioner(clients, settings, topology)
    missing = await provisioner.differences()
    for thing in (topology.bus, *(item.name for group in _groups(topology) for item in group)):
        assert any(thing in line for line in missing), thing
    await provisioner.apply()
    assert await provisioner.differences() == []
    await provisioner.apply()
    assert await provisioner.differences() == []
    queues = 2 * len(topology.queues) + len(topology.rules)
    assert await _counts(clients) == {"queues": queues, "subscriptions": len(topology.queues)}


def _groups(topology: Topology) -> tuple[tuple[Any, ...], ...]:
    return topology.topics, topology.rules, topology.queues, topology.tables, topology.buckets


async def _counts(clients: AwsClients) -> dict[str, int]:
    sqs, sns = await clients.get("sqs"), await clients.get("sns")
    return {
        "queues": len((await sqs.list_queues())["QueueUrls"]),
        "subscriptions": len((await sns.list_subscriptions())["Subscriptions"]),
    }


async def test_the_order_of_entries_means_nothing(clients: AwsClients, settings: Settings, topology: Topology) -> None:
    """What the shuffled file makes is what the file declares."""
    shuffled = orjson.loads(orjson.dumps(shuffled_document(11)))
    for bucket in shuffled["buckets"]:
        bucket["name"] += settings.bucket_suffix
    await Provisioner(clients, settings, Topology.model_validate(shuffled)).apply()
    assert await Provisioner(clients, settings, topology).differences() == []


async def test_every_drift_is_named_and_mended(
    clients: AwsClients, provisioner: Provisioner, topology: Topology
) -> None:
    """What somebody changed by hand at night is found in the morning, and put right."""
    for drift, complaint in _DRIFTS:
        await drift(clients, topology)
        await named_and_mended(provisioner, complaint)


async def test_an_index_that_is_missing_is_reported_and_not_touched(
    clients: AwsClients, provisioner: Provisioner
) -> None:
    """Making an index anew, or a table, loses data or time: a migration does that, not a deployment."""
    dynamodb = await clients.get("dynamodb")
    removal = [{"Delete": {"IndexName": "PayfastIdIndex"}}]
    await dynamodb.update_table(TableName="orders", GlobalSecondaryIndexUpdates=removal)
    expected = ["table orders: index PayfastIdIndex is absent, declared (payfastIdKey)"]
    assert await provisioner.differences() == expected
    await provisioner.apply()
    assert await provisioner.differences() == expected


async def test_only_topic_and_rules_may_send_to_a_queue_and_only_its_queue_to_its_dead_letters(
    clients: AwsClients, provisioned: Settings, topology: Topology
) -> None:
    """Without the first nothing arrives on AWS; without the second anybody's dead letters do."""
    events = await clients.get("events")
    for queue in topology.queues:
        attributes = await _queue(clients, queue.name)
        (by_topic, *by_rules) = _senders(attributes)
        assert by_topic[0] == "sns.amazonaws.com"
        assert by_topic[1].endswith(f":{TOPIC}")
        rules = [
            await events.describe_rule(Name=rule.name, EventBusName=topology.bus)
            for rule in topology.rules_into(queue.name)
        ]
        assert by_rules == [("events.amazonaws.com", rule["Arn"]) for rule in rules]
        dead = await _queue(clients, queue.dead_letter_name)
        redrive = orjson.loads(attributes["RedrivePolicy"])
        assert redrive == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": queue.max_receive_count}
        allowed = {"redrivePermission": "byQueue", "sourceQueueArns": [attributes["QueueArn"]]}
        assert orjson.loads(dead["RedriveAllowPolicy"]) == allowed
        assert int(dead["MessageRetentionPeriod"]) == DEAD_LETTER_RETENTION_S


async def test_eventbridge_may_publish_to_the_topic_without_a_condition(
    clients: AwsClients, provisioned: Settings
) -> None:
    """AWS knows no condition there: with one, every event fails to arrive, and nothing says so."""
    sns = await clients.get("sns")
    arn = (await sns.list_topics())["Topics"][0]["TopicArn"]
    policy = (await sns.get_topic_attributes(TopicArn=arn))["Attributes"]["Policy"]
    (statement,) = orjson.loads(policy)["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": arn,
    }


async def test_what_sns_cannot_deliver_goes_to_the_queues_own_dead_letters(
    clients: AwsClients, provisioned: Settings, topology: Topology
) -> None:
    """A queue whose policy was broken for an hour must not cost that hour's orders."""
    sns = await clients.get("sns")
    for queue in topology.queues:
        dead = await _queue(clients, queue.dead_letter_name)
        attributes = (await sns.get_subscription_attributes(SubscriptionArn=await _subscription(clients, queue.name)))[
            "Attributes"
        ]
        assert orjson.loads(attributes["RedrivePolicy"]) == {"deadLetterTargetArn": dead["QueueArn"]}
        assert _senders(dead) == [("sns.amazonaws.com", attributes["TopicArn"])]


async def test_what_eventbridge_cannot_deliver_goes_to_the_rules_dead_letters(
    clients: AwsClients, provisioned: Settings, topology: Topology
) -> None:
    """Without them EventBridge drops an event that the target refuses."""
    events = await clients.get("events")
    for rule in topology.rules:
        dead = await _queue(clients, rule.dead_letter_queue)
        (target,) = (await events.list_targets_by_rule(Rule=rule.name, EventBusName=topology.bus))["Targets"]
        assert target["Arn"].endswith(f":{rule.target}")
        assert target["DeadLetterConfig"] == {"Arn": dead["QueueArn"]}
        described = await events.describe_rule(Name=rule.name, EventBusName=topology.bus)
        assert _senders(dead) == [("events.amazonaws.com", described["Arn"])]
        assert int(dead["MessageRetentionPeriod"]) == DEAD_LETTER_RETENTION_S


async def test_a_queue_with_a_topic_and_a_rule_gets_the_same_shape_from_both(
    clients: AwsClients, provisioned: Settings, topology: Topology
) -> None:
    """`customer-notify` is fed through SNS and straight by EventBridge: its consumer need not tell the ways apart."""
    sqs = await clients.get("sqs")
    through_topic, straight, unwanted = order_created(), registration_requested(), tenant_created()
    for event in (through_topic, unwanted, straight):
        await EventBus(lambda: clients.get("events"), topology.bus).publish(event, event.to_json())
    url = await _url(clients, "customer-notify")
    bodies: list[bytes] = []

    async def both_are_there() -> bool:
        answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        bodies.extend(message["Body"].encode() for message in answer.get("Messages", ()))
        return len(bodies) >= 2

    await eventually(both_are_there, what="both messages in customer-notify")
    assert {orjson.loads(body)["id"]: orjson.loads(body) for body in bodies} == {
        event.id: orjson.loads(event.to_json()) for event in (through_topic, straight)
    }


def _senders(queue: dict[str, str]) -> list[tuple[str, str]]:
    """Which service may send to a queue, each on behalf of what."""
    statements = orjson.loads(queue["Policy"])["Statement"]
    assert all(
        (s["Effect"], s["Action"], s["Resource"]) == ("Allow", "sqs:SendMessage", queue["QueueArn"]) for s in statements
    )
    return [(s["Principal"]["Service"], s["Condition"]["ArnEquals"]["aws:SourceArn"]) for s in statements]


async def test_a_message_that_is_received_too_often_goes_to_the_dead_letters(
    clients: AwsClients, provisioned: Settings, topology: Topology
) -> None:
    """The backstop for crashes (C-36): a message that kills its consumer must not come back for ever."""
    queue, sqs = topology.queue("order-record"), await clients.get("sqs")
    url, dead = await _url(clients, queue.name), await _url(clients, queue.dead_letter_name)
    await sqs.send_message(QueueUrl=url, MessageBody="deadly")
    for _ in range(queue.max_receive_count):
        answer = await sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
        assert [message["Body"] for message in answer["Messages"]] == ["deadly"]

    async def is_dead() -> bool:
        assert "Messages" not in await sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
        return "Messages" in await sqs.receive_message(QueueUrl=dead, VisibilityTimeout=0)

    await eventually(is_dead, what="the message in the dead-letter queue")


async def _url(clients: AwsClients, name: str) -> str:
    url: str = (await (await clients.get("sqs")).get_queue_url(QueueName=name))["QueueUrl"]
    return url


async def _queue(clients: AwsClients, name: str) -> dict[str, str]:
    sqs = await clients.get("sqs")
    answer = await sqs.get_queue_attributes(QueueUrl=await _url(clients, name), AttributeNames=["All"])
    attributes: dict[str, str] = answer["Attributes"]
    return attributes


async def _set(clients: AwsClients, name: str, **attributes: str) -> None:
    await (await clients.get("sqs")).set_queue_attributes(QueueUrl=await _url(clients, name), Attributes=attributes)


async def _subscription(clients: AwsClients, queue: str) -> str:
    listed = await (await clients.get("sns")).list_subscriptions()
    return next(str(s["SubscriptionArn"]) for s in listed["Subscriptions"] if s["Endpoint"].endswith(f":{queue}"))


async def _shorter_visibility(clients: AwsClients, _: Topology) -> None:
    await _set(clients, "order-pdf", VisibilityTimeout="1")


async def _other_receive_count(clients: AwsClients, _: Topology) -> None:
    policy = orjson.loads((await _queue(clients, "order-pdf"))["RedrivePolicy"]) | {"maxReceiveCount": 1}
    await _set(clients, "order-pdf", RedrivePolicy=orjson.dumps(policy).decode())


async def _open_queue(clients: AwsClients, _: Topology) -> None:
    policy = orjson.loads((await _queue(clients, "order-pdf"))["Policy"])
    policy["Statement"][0]["Principal"] = "*"
    await _set(clients, "order-pdf", Policy=orjson.dumps(policy).decode())


async def _short_lived_dead_letters(clients: AwsClients, _: Topology) -> None:
    await _set(clients, "order-pdf-dlq", MessageRetentionPeriod="3600")


async def _open_dead_letters(clients: AwsClients, _: Topology) -> None:
    await _set(clients, "order-pdf-dlq", RedriveAllowPolicy='{"redrivePermission":"allowAll"}')


async def _closed_dead_letters(clients: AwsClients, _: Topology) -> None:
    await _set(clients, "order-pdf-dlq", Policy="")


async def _closed_rule_dead_letters(clients: AwsClients, _: Topology) -> None:
    await _set(clients, "order-events-rule-dlq", Policy="")


async def _no_rule_dead_letters(clients: AwsClients, topology: Topology) -> None:
    sqs = await clients.get("sqs")
    await sqs.delete_queue(QueueUrl=await _url(clients, "order-events-rule-dlq"))


async def _untargeted_dead_letters(clients: AwsClients, topology: Topology) -> None:
    events = await clients.get("events")
    rule = {"Rule": "order-events-rule", "EventBusName": topology.bus}
    (target,) = (await events.list_targets_by_rule(**rule))["Targets"]
    del target["DeadLetterConfig"]
    await events.put_targets(**rule, Targets=[target])


async def _no_redrive(clients: AwsClients, _: Topology) -> None:
    await (await clients.get("sns")).set_subscription_attributes(
        SubscriptionArn=await _subscription(clients, "order-pdf"), AttributeName="RedrivePolicy", AttributeValue="{}"
    )


async def _unsubscribed(clients: AwsClients, _: Topology) -> None:
    await (await clients.get("sns")).unsubscribe(SubscriptionArn=await _subscription(clients, "order-pdf"))


async def _other_filter(clients: AwsClients, _: Topology) -> None:
    await (await clients.get("sns")).set_subscription_attributes(
        SubscriptionArn=await _subscription(clients, "order-pdf"),
        AttributeName="FilterPolicy",
        AttributeValue='{"type":["NOTHING"]}',
    )


async def _open_topic(clients: AwsClients, _: Topology) -> None:
    sns = await clients.get("sns")
    arn = (await sns.list_topics())["Topics"][0]["TopicArn"]
    await sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue='{"Statement":[]}')


async def _untargeted_rule(clients: AwsClients, topology: Topology) -> None:
    events = await clients.get("events")
    await events.remove_targets(Rule="order-events-rule", EventBusName=topology.bus, Ids=[TOPIC])


async def _untargeted_queue(clients: AwsClients, topology: Topology) -> None:
    events = await clients.get("events")
    rule = {"Rule": "registration-mail-rule", "EventBusName": topology.bus}
    await events.remove_targets(**rule, Ids=["customer-notify"])


async def _closed_to_the_rule(clients: AwsClients, _: Topology) -> None:
    policy = orjson.loads((await _queue(clients, "customer-notify"))["Policy"])
    del policy["Statement"][1]
    await _set(clients, "customer-notify", Policy=orjson.dumps(policy).decode())


async def _other_pattern(clients: AwsClients, topology: Topology) -> None:
    events = await clients.get("events")
    await events.put_rule(Name="order-events-rule", EventBusName=topology.bus, EventPattern='{"source":["other"]}')


async def _disabled_rule(clients: AwsClients, topology: Topology) -> None:
    await (await clients.get("events")).disable_rule(Name="order-events-rule", EventBusName=topology.bus)


async def _unversioned_bucket(clients: AwsClients, topology: Topology) -> None:
    s3, off = await clients.get("s3"), {"Status": "Suspended"}
    await s3.put_bucket_versioning(Bucket=topology.bucket("documents").name, VersioningConfiguration=off)


async def _public_bucket(clients: AwsClients, topology: Topology) -> None:
    await (await clients.get("s3")).delete_public_access_block(Bucket=topology.bucket("documents").name)


async def _other_encryption(clients: AwsClients, topology: Topology) -> None:
    s3, by_key = await clients.get("s3"), {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    await s3.put_bucket_encryption(
        Bucket=topology.bucket("documents").name, ServerSideEncryptionConfiguration={"Rules": [by_key]}
    )


async def _edited_template(clients: AwsClients, topology: Topology) -> None:
    s3 = await clients.get("s3")
    await s3.put_object(Bucket=topology.bucket("templates").name, Key="invoices/invoice.html", Body=b"edited")


async def _no_time_to_live(clients: AwsClients, _: Topology) -> None:
    off = {"Enabled": False, "AttributeName": "expiresAt"}
    await (await clients.get("dynamodb")).update_time_to_live(TableName="orders", TimeToLiveSpecification=off)


async def _no_backups(clients: AwsClients, _: Topology) -> None:
    off = {"PointInTimeRecoveryEnabled": False}
    dynamodb = await clients.get("dynamodb")
    await dynamodb.update_continuous_backups(TableName="orders", PointInTimeRecoverySpecification=off)


_DRIFTS: tuple[tuple[Drift, str], ...] = (
    (_shorter_visibility, "queue order-pdf: VisibilityTimeout is 1, declared 60"),
    (_other_receive_count, "queue order-pdf: RedrivePolicy"),
    (_open_queue, "queue order-pdf: Policy"),
    (_short_lived_dead_letters, "queue order-pdf-dlq: MessageRetentionPeriod is 3600"),
    (_open_dead_letters, "queue order-pdf-dlq: RedriveAllowPolicy"),
    (_closed_dead_letters, "queue order-pdf-dlq: Policy"),
    (_closed_rule_dead_letters, "queue order-events-rule-dlq: Policy"),
    (_no_rule_dead_letters, "queue order-events-rule-dlq is missing"),
    (_untargeted_dead_letters, "rule order-events-rule does not send to topic bbws-order-events as declared"),
    (_no_redrive, "subscription of order-pdf: RedrivePolicy"),
    (_unsubscribed, "queue order-pdf is not subscribed to topic bbws-order-events"),
    (_other_filter, 'subscription of order-pdf: FilterPolicy is {"type":["NOTHING"]}'),
    (_open_topic, "topic bbws-order-events: Policy"),
    (_untargeted_rule, "rule order-events-rule does not send to topic bbws-order-events"),
    (_untargeted_queue, "rule registration-mail-rule does not send to queue customer-notify"),
    (_closed_to_the_rule, "queue customer-notify: Policy"),
    (_other_pattern, "rule order-events-rule matches something else"),
    (_disabled_rule, "rule order-events-rule matches something else, or is off"),
    (_unversioned_bucket, "is not versioned"),
    (_public_bucket, "does not block public access"),
    (_other_encryption, "encrypts with aws:kms, declared AES256"),
    (_edited_template, "template invoices/invoice.html is not the packaged one"),
    (_no_time_to_live, "table orders: time to live is not on expiresAt"),
    (_no_backups, "table orders: point-in-time recovery is off"),
)
