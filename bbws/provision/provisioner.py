"""Creates what `topology.json` declares, or says what differs from it. Running it again changes nothing."""

import hashlib
from collections.abc import Mapping
from email.utils import parseaddr
from typing import Any

import orjson

from bbws.provision import requests as aws
from bbws.provision import user_pool as provision_users
from bbws.shared.aws_errors import find_or_none
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.cognito import UserPool
from bbws.shared.settings import Settings
from bbws.shared.templating import packaged_documents
from bbws.shared.topology import PRIMARY_KEY, Bucket, Queue, Rule, Table, Topology


class Provisioner:
    """`apply` makes what is missing and mends what differs; `differences` only looks.

    Both raise botocore's errors where AWS refuses. Keys and indexes of a standing table are never changed: that
    loses data, so it is reported and left to a migration.
    """

    def __init__(self, clients: AwsClients, settings: Settings, topology: Topology) -> None:
        self._clients = clients
        self._settings = settings
        self._topology = topology

    async def apply(self) -> UserPool | None:
        pool = await self.make_resources()
        await self.push_templates()
        return pool

    async def make_resources(self) -> UserPool | None:
        """Everything but what lies in the template bucket. On AWS senders and user pools are not made here."""
        for table in self._topology.tables:
            await self._make_table(table)
        for bucket in self._topology.buckets:
            await self._make_bucket(bucket)
        await self._make_bus()
        for topic in self._topology.topics:
            await self._make_topic(topic.name)
        for queue in self._topology.queues:
            await self._make_queue(queue)
        for rule in self._topology.rules:
            await self._make_rule(rule)
        if not self._settings.aws_endpoint_url:
            return None
        await self._verify_sender()
        return await provision_users.make_user_pool(self._clients, self._topology.user_pool)

    async def differences(self) -> list[str]:
        """A line for each thing that is missing or other than declared."""
        found: list[str] = []
        for table in self._topology.tables:
            found += await self._table_differences(table)
        for bucket in self._topology.buckets:
            found += await self._bucket_differences(bucket)
        found += [f"template {name} is not the packaged one" for name in await self._stale_templates()]
        found += await self._bus_differences()
        for topic in self._topology.topics:
            found += await self._topic_differences(topic.name)
        for queue in self._topology.queues:
            found += await self._queue_differences(queue)
        for rule in self._topology.rules:
            found += await self._rule_differences(rule)
        return found + await provision_users.user_pool_differences(self._clients, self._topology.user_pool)

    # DynamoDB

    async def _make_table(self, table: Table) -> None:
        dynamodb = await self._clients.get("dynamodb")
        if await find_or_none(dynamodb.describe_table, TableName=table.name) is None:
            await dynamodb.create_table(**aws.table_request(table))
            await dynamodb.get_waiter("table_exists").wait(TableName=table.name, WaiterConfig={"Delay": 1})
        await self._make_backups(table)
        if table.ttl and await self._ttl(table) != table.ttl:
            specification = {"Enabled": True, "AttributeName": table.ttl}
            await dynamodb.update_time_to_live(TableName=table.name, TimeToLiveSpecification=specification)

    async def _make_backups(self, table: Table) -> None:
        dynamodb = await self._clients.get("dynamodb")
        backups = {"PointInTimeRecoveryEnabled": True}
        await dynamodb.update_continuous_backups(TableName=table.name, PointInTimeRecoverySpecification=backups)

    async def _has_backups(self, table: Table) -> bool:
        dynamodb = await self._clients.get("dynamodb")
        answer = await dynamodb.describe_continuous_backups(TableName=table.name)
        recovery = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        return bool(recovery.get("PointInTimeRecoveryStatus") == "ENABLED")

    async def _ttl(self, table: Table) -> str | None:
        dynamodb = await self._clients.get("dynamodb")
        described = (await dynamodb.describe_time_to_live(TableName=table.name))["TimeToLiveDescription"]
        return described.get("AttributeName") if described["TimeToLiveStatus"] in ("ENABLED", "ENABLING") else None

    async def _table_differences(self, table: Table) -> list[str]:
        dynamodb = await self._clients.get("dynamodb")
        described = await find_or_none(dynamodb.describe_table, TableName=table.name)
        if described is None:
            return [f"table {table.name} is missing"]
        wanted = {index.name: aws.key_schema(index.partition, index.sort) for index in table.indexes}
        standing = {i["IndexName"]: i["KeySchema"] for i in described["Table"].get("GlobalSecondaryIndexes", ())}
        found = [
            f"table {table.name}: index {name} is {_told(standing.get(name))}, declared {_told(wanted.get(name))}"
            for name in sorted(wanted.keys() | standing.keys())
            if wanted.get(name) != standing.get(name)
        ]
        if described["Table"]["KeySchema"] != aws.key_schema(*PRIMARY_KEY):
            found.append(f"table {table.name}: its key is {_told(described['Table']['KeySchema'])}, declared (PK, SK)")
        if not await self._has_backups(table):
            found.append(f"table {table.name}: point-in-time recovery is off")
        if await self._ttl(table) != table.ttl:
            found.append(f"table {table.name}: time to live is not on {table.ttl}")
        return found

    # S3

    async def _make_bucket(self, bucket: Bucket) -> None:
        s3 = await self._clients.get("s3")
        if await find_or_none(s3.head_bucket, Bucket=bucket.name) is None:
            place = {"LocationConstraint": self._settings.aws_region}
            elsewhere = {} if self._settings.aws_region == "us-east-1" else {"CreateBucketConfiguration": place}
            await s3.create_bucket(Bucket=bucket.name, **elsewhere)
        await s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
        await s3.put_public_access_block(Bucket=bucket.name, PublicAccessBlockConfiguration=aws.NO_PUBLIC_ACCESS)
        await s3.put_bucket_encryption(Bucket=bucket.name, ServerSideEncryptionConfiguration=aws.SSE_S3)
        if days := bucket.noncurrent_version_days.get(self._settings.environment):
            await s3.put_bucket_lifecycle_configuration(Bucket=bucket.name, LifecycleConfiguration=aws.lifecycle(days))

    async def _bucket_differences(self, bucket: Bucket) -> list[str]:
        s3 = await self._clients.get("s3")
        if await find_or_none(s3.head_bucket, Bucket=bucket.name) is None:
            return [f"bucket {bucket.name} is missing"]
        found = []
        days = bucket.noncurrent_version_days.get(self._settings.environment)
        if (await s3.get_bucket_versioning(Bucket=bucket.name)).get("Status") != "Enabled":
            found.append(f"bucket {bucket.name} is not versioned")
        access = await find_or_none(s3.get_public_access_block, Bucket=bucket.name)
        if access is None or access["PublicAccessBlockConfiguration"] != aws.NO_PUBLIC_ACCESS:
            found.append(f"bucket {bucket.name} does not block public access")
        lifecycle = await find_or_none(s3.get_bucket_lifecycle_configuration, Bucket=bucket.name)
        if days != _days_kept(lifecycle):
            found.append(f"bucket {bucket.name} keeps old versions {_days_kept(lifecycle)} days, declared {days}")
        return found

    async def push_templates(self) -> None:
        s3 = await self._clients.get("s3")
        documents = packaged_documents()
        for name in await self._stale_templates():
            await s3.put_object(
                Bucket=self._topology.bucket("templates").name, Key=name, Body=documents[name], ContentType="text/html"
            )

    async def _stale_templates(self) -> list[str]:
        """Names whose text in the bucket is not the packaged one; S3's ETag of a small object is its MD5."""
        s3 = await self._clients.get("s3")
        bucket = self._topology.bucket("templates").name
        if await find_or_none(s3.head_bucket, Bucket=bucket) is None:
            return []
        standing: dict[str, str] = {}
        async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            standing |= {entry["Key"]: entry["ETag"].strip('"') for entry in page.get("Contents", ())}
        return [name for name, text in packaged_documents().items() if standing.get(name) != _md5(text)]

    # EventBridge and SNS

    async def _make_bus(self) -> None:
        events = await self._clients.get("events")
        if await find_or_none(events.describe_event_bus, Name=self._topology.bus) is None:
            await events.create_event_bus(Name=self._topology.bus)

    async def _bus_differences(self) -> list[str]:
        events = await self._clients.get("events")
        standing = await find_or_none(events.describe_event_bus, Name=self._topology.bus)
        return [] if standing else [f"event bus {self._topology.bus} is missing"]

    async def _make_topic(self, name: str) -> None:
        sns = await self._clients.get("sns")
        arn = (await sns.create_topic(Name=name))["TopicArn"]
        await sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=aws.topic_policy(arn))

    async def _topic_differences(self, name: str) -> list[str]:
        arn = await self._topic_arn(name)
        if arn is None:
            return [f"topic {name} is missing"]
        sns = await self._clients.get("sns")
        standing = (await sns.get_topic_attributes(TopicArn=arn))["Attributes"]
        return _attribute_differences(f"topic {name}", standing, {"Policy": aws.topic_policy(arn)})

    async def _topic_arn(self, name: str) -> str | None:
        """By listing: CreateTopic would answer it too, but would also create."""
        sns = await self._clients.get("sns")
        async for page in sns.get_paginator("list_topics").paginate():
            for topic in page["Topics"]:
                arn: str = topic["TopicArn"]
                if arn.endswith(f":{name}"):
                    return arn
        return None

    async def _make_rule(self, rule: Rule) -> None:
        events, sqs = await self._clients.get("events"), await self._clients.get("sqs")
        pattern = orjson.dumps(rule.pattern).decode()
        bus = self._topology.bus
        made = await events.put_rule(Name=rule.name, EventBusName=bus, EventPattern=pattern, State="ENABLED")
        url = await self._made_queue(rule.dead_letter_queue)
        dead_letters = await self._queue_arn(url)
        attributes = aws.rule_dead_letter_attributes(dead_letters, made["RuleArn"])
        await sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
        await events.put_targets(Rule=rule.name, EventBusName=bus, Targets=[await self._target(rule, dead_letters)])

    async def _target(self, rule: Rule, dead_letter_arn: str) -> dict[str, Any]:
        arn = await self._topic_arn(rule.topic) if rule.topic else aws.queue_arn(dead_letter_arn, rule.target)
        target = {"Id": rule.target, "Arn": arn, "InputPath": rule.input_path}
        return {**target, "DeadLetterConfig": {"Arn": dead_letter_arn}}

    async def _rule_differences(self, rule: Rule) -> list[str]:
        events = await self._clients.get("events")
        standing = await find_or_none(events.describe_rule, Name=rule.name, EventBusName=self._topology.bus)
        url = await self._queue_url(rule.dead_letter_queue)
        if standing is None or url is None:
            return [
                f"rule {rule.name} is missing" if standing is None else f"queue {rule.dead_letter_queue} is missing"
            ]
        found = []
        if orjson.loads(standing.get("EventPattern") or "{}") != rule.pattern or standing.get("State") != "ENABLED":
            found.append(f"rule {rule.name} matches something else, or is off")
        dead = await self._attributes(url)
        targets = await events.list_targets_by_rule(Rule=rule.name, EventBusName=self._topology.bus)
        wanted = await self._target(rule, dead["QueueArn"])
        if not any(all(target.get(name) == wanted[name] for name in wanted) for target in targets["Targets"]):
            kind = "topic" if rule.topic else "queue"
            found.append(f"rule {rule.name} does not send to {kind} {rule.target} as declared")
        declared = aws.rule_dead_letter_attributes(dead["QueueArn"], standing["Arn"])
        return found + _attribute_differences(f"queue {rule.dead_letter_queue}", dead, declared)

    # SQS

    async def _make_queue(self, queue: Queue) -> None:
        sqs = await self._clients.get("sqs")
        url, dead_letter_url = await self._made_queue(queue.name), await self._made_queue(queue.dead_letter_name)
        arn, dead_letters = await self._queue_arn(url), await self._queue_arn(dead_letter_url)
        attributes = aws.queue_attributes(queue, arn, dead_letters, self._rule_arns(queue, arn))
        await sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
        attributes = aws.dead_letter_attributes(queue, dead_letters, arn)
        await sqs.set_queue_attributes(QueueUrl=dead_letter_url, Attributes=attributes)
        if queue.topic:
            await self._subscribe(queue, queue.topic, arn, dead_letters)

    def _rule_arns(self, queue: Queue, queue_arn: str) -> list[str]:
        rules = self._topology.rules_into(queue.name)
        return [aws.rule_arn(queue_arn, self._topology.bus, rule.name) for rule in rules]

    async def _made_queue(self, name: str) -> str:
        """The address of a queue that exists now; its attributes are left alone."""
        sqs = await self._clients.get("sqs")
        return await self._queue_url(name) or str((await sqs.create_queue(QueueName=name))["QueueUrl"])

    async def _subscribe(self, queue: Queue, topic: str, queue_arn: str, dead_letter_arn: str) -> None:
        sns = await self._clients.get("sns")
        topic_arn = await self._topic_arn(topic)
        answer = await sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, ReturnSubscriptionArn=True)
        for name, value in aws.subscription_attributes(queue, dead_letter_arn).items():
            await sns.set_subscription_attributes(
                SubscriptionArn=answer["SubscriptionArn"], AttributeName=name, AttributeValue=value
            )

    async def _queue_differences(self, queue: Queue) -> list[str]:
        url, dead_letter_url = await self._queue_url(queue.name), await self._queue_url(queue.dead_letter_name)
        if url is None or dead_letter_url is None:
            return [f"queue {queue.name if url is None else queue.dead_letter_name} is missing"]
        standing, dead = await self._attributes(url), await self._attributes(dead_letter_url)
        arn, dead_letters = standing["QueueArn"], dead["QueueArn"]
        found = _attribute_differences(
            f"queue {queue.name}",
            standing,
            aws.queue_attributes(queue, arn, dead_letters, self._rule_arns(queue, arn)),
        ) + _attribute_differences(
            f"queue {queue.dead_letter_name}", dead, aws.dead_letter_attributes(queue, dead_letters, arn)
        )
        return found + (await self._subscription_differences(queue, arn, dead_letters) if queue.topic else [])

    async def _attributes(self, url: str) -> Mapping[str, str]:
        sqs = await self._clients.get("sqs")
        attributes: dict[str, str] = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))[
            "Attributes"
        ]
        return attributes

    async def _subscription_differences(self, queue: Queue, queue_arn: str, dead_letter_arn: str) -> list[str]:
        sns = await self._clients.get("sns")
        topic_arn = await self._topic_arn(queue.topic or "")
        if topic_arn is None:
            return [f"topic {queue.topic} is missing"]
        async for page in sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn):
            for subscription in page["Subscriptions"]:
                if subscription["Endpoint"] == queue_arn:
                    standing = await self._standing_subscription(subscription["SubscriptionArn"])
                    wanted = aws.subscription_attributes(queue, dead_letter_arn)
                    return _attribute_differences(f"subscription of {queue.name}", standing, wanted)
        return [f"queue {queue.name} is not subscribed to topic {queue.topic}"]

    async def _standing_subscription(self, subscription_arn: str) -> Mapping[str, str]:
        sns = await self._clients.get("sns")
        answer = await sns.get_subscription_attributes(SubscriptionArn=subscription_arn)
        attributes: dict[str, str] = answer["Attributes"]
        return attributes

    async def _queue_url(self, name: str) -> str | None:
        sqs = await self._clients.get("sqs")
        answer = await find_or_none(sqs.get_queue_url, QueueName=name)
        return answer["QueueUrl"] if answer else None

    async def _queue_arn(self, url: str) -> str:
        sqs = await self._clients.get("sqs")
        answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn: str = answer["Attributes"]["QueueArn"]
        return arn

    # SES

    async def _verify_sender(self) -> None:
        """Emulators refuse a sender that is not verified, and verify at once; on AWS a person does that."""
        address = parseaddr(self._settings.mail_from)[1]
        if self._settings.mail_transport == "sesv2":
            sesv2 = await self._clients.get("sesv2")
            if await find_or_none(sesv2.get_email_identity, EmailIdentity=address) is None:
                await sesv2.create_email_identity(EmailIdentity=address)
        elif self._settings.mail_transport == "ses":
            await (await self._clients.get("ses")).verify_email_identity(EmailAddress=address)


def _told(schema: list[dict[str, str]] | None) -> str:
    return "(" + ", ".join(key["AttributeName"] for key in schema) + ")" if schema else "absent"


def _days_kept(lifecycle: Mapping[str, Any] | None) -> int | None:
    """After how many days old versions go; None: never."""
    for rule in lifecycle["Rules"] if lifecycle else ():
        days = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
        if days and rule.get("Status") == "Enabled":
            return int(days)
    return None


def _attribute_differences(what: str, standing: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    return [
        f"{what}: {name} is {standing.get(name)}, declared {value}"
        for name, value in wanted.items()
        if _parsed(standing.get(name)) != _parsed(value)
    ]


def _md5(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def _parsed(value: str | None) -> Any:
    """Policies are JSON that AWS may write with other spaces and order."""
    try:
        return orjson.loads(value or "null")
    except orjson.JSONDecodeError:
        return value
