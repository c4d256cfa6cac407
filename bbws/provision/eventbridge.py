"""The bus and its rules, each with a dead-letter queue for what it could not deliver."""

from typing import Any

import orjson

from bbws.provision import requests as aws
from bbws.provision import sns, sqs
from bbws.provision.differences import attribute_differences
from bbws.shared.aws_errors import find_or_none
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.topology import Rule


async def make_bus(clients: AwsClients, bus: str) -> None:
    events = await clients.get("events")
    if await find_or_none(events.describe_event_bus, Name=bus) is None:
        await events.create_event_bus(Name=bus)


async def bus_differences(clients: AwsClients, bus: str) -> list[str]:
    events = await clients.get("events")
    standing = await find_or_none(events.describe_event_bus, Name=bus)
    return [] if standing else [f"event bus {bus} is missing"]


async def make_rule(clients: AwsClients, bus: str, rule: Rule) -> None:
    events, queues = await clients.get("events"), await clients.get("sqs")
    pattern = orjson.dumps(rule.pattern).decode()
    made = await events.put_rule(Name=rule.name, EventBusName=bus, EventPattern=pattern, State="ENABLED")
    url = await sqs.made_queue(queues, rule.dead_letter_queue)
    dead_letters = await sqs.queue_arn(queues, url)
    attributes = aws.rule_dead_letter_attributes(dead_letters, made["RuleArn"])
    await queues.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    target = await _target(clients, rule, dead_letters)
    await events.put_targets(Rule=rule.name, EventBusName=bus, Targets=[target])


async def rule_differences(clients: AwsClients, bus: str, rule: Rule) -> list[str]:
    events = await clients.get("events")
    standing = await find_or_none(events.describe_rule, Name=rule.name, EventBusName=bus)
    dead = await sqs.find_queue(await clients.get("sqs"), rule.dead_letter_queue)
    if standing is None:
        return [f"rule {rule.name} is missing"]
    if dead is None:
        return [f"queue {rule.dead_letter_queue} is missing"]
    found = []
    if orjson.loads(standing.get("EventPattern") or "{}") != rule.pattern or standing.get("State") != "ENABLED":
        found.append(f"rule {rule.name} matches something else, or is off")
    targets = await events.list_targets_by_rule(Rule=rule.name, EventBusName=bus)
    wanted = await _target(clients, rule, dead["QueueArn"])
    if not any(all(target.get(name) == wanted[name] for name in wanted) for target in targets["Targets"]):
        kind = "topic" if rule.topic else "queue"
        found.append(f"rule {rule.name} does not send to {kind} {rule.target} as declared")
    declared = aws.rule_dead_letter_attributes(dead["QueueArn"], standing["Arn"])
    return found + attribute_differences(f"queue {rule.dead_letter_queue}", dead, declared)


async def _target(clients: AwsClients, rule: Rule, dead_letter_arn: str) -> dict[str, Any]:
    if rule.topic:
        arn = await sns.topic_arn(await clients.get("sns"), rule.topic)
    else:
        arn = aws.queue_arn(dead_letter_arn, rule.target)
    target = {"Id": rule.target, "Arn": arn, "InputPath": rule.input_path}
    return {**target, "DeadLetterConfig": {"Arn": dead_letter_arn}}
