"""What AWS must be told so that a resource is as declared: requests, attributes and policies, without any call."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from bbws.shared.topology import DEAD_LETTER_RETENTION_S, PRIMARY_KEY, Pool, Queue, Table

NO_PUBLIC_ACCESS = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)
SSE_ALGORITHM = "AES256"
SSE_S3 = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": SSE_ALGORITHM}}]}


def table_request(table: Table) -> dict[str, Any]:
    request: dict[str, Any] = {
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": key_schema(*PRIMARY_KEY),
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in table.key_attributes],
    }
    if table.indexes:
        request["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index.name,
                "KeySchema": key_schema(index.partition, index.sort),
                "Projection": {"ProjectionType": "ALL"},
            }
            for index in table.indexes
        ]
    return request


def key_schema(partition: str, sort: str | None) -> list[dict[str, str]]:
    schema = [{"AttributeName": partition, "KeyType": "HASH"}]
    return schema + ([{"AttributeName": sort, "KeyType": "RANGE"}] if sort else [])


def lifecycle(days: int) -> dict[str, Any]:
    rule = {
        "ID": "old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days},
    }
    return {"Rules": [rule]}


def topic_policy(arn: str) -> str:
    """EventBridge may publish. Without a condition: where an SNS policy has one, EventBridge's deliveries fail."""
    return _policy(_allow("events.amazonaws.com", "sns:Publish", arn))


def topic_arn(queue_arn: str, topic: str) -> str:
    """The ARN of a topic that lives beside a queue."""
    return queue_arn.replace(":sqs:", ":sns:").rsplit(":", 1)[0] + f":{topic}"


def queue_arn(other_queue_arn: str, queue: str) -> str:
    """The ARN of a queue that lives beside another one."""
    return other_queue_arn.rsplit(":", 1)[0] + f":{queue}"


def rule_arn(queue_arn: str, bus: str, rule: str) -> str:
    """The ARN of a rule on a bus that lives beside a queue."""
    return queue_arn.replace(":sqs:", ":events:").rsplit(":", 1)[0] + f":rule/{bus}/{rule}"


def queue_attributes(queue: Queue, arn: str, dead_letter_arn: str, rule_arns: Sequence[str] = ()) -> dict[str, str]:
    """SNS may send here from the queue's topic, and EventBridge from each of the rules."""
    redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": queue.max_receive_count}
    attributes = {
        "VisibilityTimeout": str(queue.visibility_timeout_s),
        "MessageRetentionPeriod": str(queue.retention_s),
        "RedrivePolicy": _json(redrive),
    }
    senders = [("sns.amazonaws.com", topic_arn(arn, queue.topic))] if queue.topic else []
    senders += [("events.amazonaws.com", rule) for rule in rule_arns]
    if senders:
        attributes["Policy"] = _policy(*(_may_send(service, arn, source) for service, source in senders))
    return attributes


def dead_letter_attributes(queue: Queue, arn: str, source_arn: str) -> dict[str, str]:
    """Only its own queue may send here, and SNS what it could not deliver to that queue."""
    attributes = {
        "MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_S),
        "RedriveAllowPolicy": _json({"redrivePermission": "byQueue", "sourceQueueArns": [source_arn]}),
    }
    if queue.topic:
        attributes["Policy"] = _policy(_may_send("sns.amazonaws.com", arn, topic_arn(arn, queue.topic)))
    return attributes


def rule_dead_letter_attributes(arn: str, rule_arn: str) -> dict[str, str]:
    """EventBridge may put here what this one rule could not deliver."""
    return {
        "MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_S),
        "Policy": _policy(_may_send("events.amazonaws.com", arn, rule_arn)),
    }


def subscription_attributes(queue: Queue, dead_letter_arn: str) -> Mapping[str, str]:
    """In the order in which they must be set: a filter is checked against the scope that stands."""
    return {
        "RawMessageDelivery": "true",
        "FilterPolicyScope": "MessageBody",
        "FilterPolicy": _json(queue.filter_policy),
        "RedrivePolicy": _json({"deadLetterTargetArn": dead_letter_arn}),
    }


def user_pool_settings(pool: Pool) -> dict[str, Any]:
    """What can be changed of a pool that stands."""
    kinds = ("RequireLowercase", "RequireUppercase", "RequireNumbers", "RequireSymbols")
    policy = {"MinimumLength": pool.password_min_length, **dict.fromkeys(kinds, False)}
    return {
        "Policies": {"PasswordPolicy": policy},
        "AdminCreateUserConfig": {"AllowAdminCreateUserOnly": True},
        "AutoVerifiedAttributes": ["email"],
    }


def user_pool_request(pool: Pool) -> dict[str, Any]:
    sign_in = {"UsernameAttributes": ["email"], "UsernameConfiguration": {"CaseSensitive": False}}
    return {"PoolName": pool.name, **sign_in, **user_pool_settings(pool)}


def app_client_settings(pool: Pool) -> dict[str, Any]:
    return {
        "ClientName": pool.client,
        # The portal signs in by password, and so do our own tools, which are known to AWS.
        "ExplicitAuthFlows": [
            "ALLOW_ADMIN_USER_PASSWORD_AUTH",
            "ALLOW_REFRESH_TOKEN_AUTH",
            "ALLOW_USER_PASSWORD_AUTH",
        ],
        # A wrong password and an unknown e-mail get the same answer.
        "PreventUserExistenceErrors": "ENABLED",
        # Not the e-mail: users are found by it, and a mailed link proves it. Cognito's default lets them write all.
        "WriteAttributes": ["name"],
    }


def _may_send(service: str, queue_arn: str, source_arn: str) -> dict[str, Any]:
    condition = {"ArnEquals": {"aws:SourceArn": source_arn}}
    return _allow(service, "sqs:SendMessage", queue_arn, Condition=condition)


def _allow(service: str, action: str, arn: str, **more: Any) -> dict[str, Any]:
    """The statement of a resource policy that lets one AWS service do one thing."""
    return {"Effect": "Allow", "Principal": {"Service": service}, "Action": action, "Resource": arn, **more}


def _policy(*statements: Mapping[str, Any]) -> str:
    return _json({"Version": "2012-10-17", "Statement": statements})


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
